import warnings

warnings.warn("careful")
print("end")
