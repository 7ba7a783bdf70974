"""What the machine can do, before anything is held against it."""

import time

import pytest
import torch


@pytest.mark.benchmark(timer=time.process_time)
def test_matrix_products_on_the_processor(benchmark, machine, full, say):
    rate = machine.sgemm() if full else machine.sgemm(8, 8, 8)
    benchmark(lambda: machine.sgemm(64, 64, 64))
    say(f"ceiling: {rate / 1e9:.0f} GFLOP/s of float32 matrix products on one thread")
    assert rate > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu(benchmark, machine, say):
    product, copying = machine.bfloat16(), machine.copying()
    benchmark(lambda: machine.bfloat16(1024))
    say(f"ceilings: {product / 1e12:.0f} TFLOP/s of bfloat16 products, {copying / 1e9:.0f} GB/s")
    assert min(product, copying) > 0
