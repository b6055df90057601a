# stdin: 'from open\n'
with open(0) as file:
    print(file.read())
