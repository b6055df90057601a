import threading

threading.excepthook = lambda a: print("hook", a.exc_type.__name__)
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
print("end")
