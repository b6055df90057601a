# stdin: ''
print("ask")
input("? ")
