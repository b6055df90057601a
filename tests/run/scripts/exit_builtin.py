print("out")
exit(5)
