# stdin: 'Ada\nlast'
print(input("name? "))
print(input())
try:
    input("more? ")
except EOFError as error:
    print("EOFError", error)
