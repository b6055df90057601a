# args: ['--lr', '0.1', '--', 'x']
import sys

print(sys.argv[1:], sys.argv[0].endswith("arguments.py"), __name__)
