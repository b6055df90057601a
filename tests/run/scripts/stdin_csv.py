# stdin: 'a,b\n1,2\n'
import csv
import sys

print(list(csv.DictReader(sys.stdin)))
