class R:
    def __init__(self, name):
        self.name = name

    def __del__(self):
        print("released", self.name)


a = R("a")
b = R("b")
R("c")
loop = [R("d")]
loop.append(loop)
print("end")
