# stdin: 'p x + 1\nn\nc\n'
x = 1
breakpoint()
print("next")
print("after", x)
