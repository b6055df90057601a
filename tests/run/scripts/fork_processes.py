import multiprocessing


def work(n):
    print("work", n, flush=True)
    return n * n


if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool:
        print(pool.map(work, [1, 2, 3]))
    process = context.Process(target=work, args=(4,))
    process.start()
    process.join()
    print("end")
