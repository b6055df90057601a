class R:
    def __del__(self):
        print("released")


r = R()
print("end")
