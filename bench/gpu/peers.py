# SPDX-License-Identifier: Apache-2.0
"""Optimizer steps of PyTorch and optax on a GPU, one JSON object a line: what the kit's own steps are compared with.

Mechanic is written here operation by operation as its released PyTorch form computes it (Delta stored): the base optimizer moves the
parameters, the movement is taken back, and per-tensor operations build Delta, the inner product and the new parameters.

    python3 peers.py [--largest N] PEER...        peers: torch, compile (Mechanic under torch.compile), optax

It returns 77 if none of them is installed.
"""
import argparse
import json
import statistics
import sys

ROUNDS = 11
SAMPLE_MILLISECONDS = 20
# All rounds of one contender together, if a single step takes longer than a sample; three rounds are made in any case.
MOST_MILLISECONDS = 250
SIZES = (100_000, 1_000_000, 10_000_000, 100_000_000)
BETAS = (0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999)
DECAY = 0.01
EPSILON = 1e-8
INITIAL_SCALE = 1e-8


def report(name, tensors, length, nanoseconds, dtype="float32"):
    print(json.dumps({"benchmark": name, "tensors": tensors, "size": tensors * length, "dtype": dtype, "timeNs": nanoseconds}), flush=True)


def rounds(once):
    return max(3, min(ROUNDS, int(MOST_MILLISECONDS / max(once, SAMPLE_MILLISECONDS))))


def of_torch(largest, compiled):
    import torch

    print(f"PyTorch {torch.__version__} on {torch.cuda.get_device_name()}", file=sys.stderr)

    def timed(step):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

        def run(count):
            torch.cuda.synchronize()
            begin.record()
            for _ in range(count):
                step()
            end.record()
            end.synchronize()
            return begin.elapsed_time(end)

        for _ in range(2):
            once = run(1)
        if once < SAMPLE_MILLISECONDS:
            once = run(1)
        count = max(1, min(1000, int(SAMPLE_MILLISECONDS / max(once, 1e-3))))
        return statistics.median(run(count) / count for _ in range(rounds(once))) * 1e6

    def model(tensors, length, dtype=torch.float32):
        generator = torch.Generator(device="cuda").manual_seed(1)
        parameters = [(torch.randn(length, device="cuda", generator=generator) * 0.01).to(dtype) for _ in range(tensors)]
        for p in parameters:
            p.requires_grad_(True)
            p.grad = (torch.randn(length, device="cuda", generator=generator) * 0.01).to(dtype)
        return parameters

    def adamw(parameters, rate=1e-3, **how):
        return torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.999), eps=EPSILON, weight_decay=DECAY, **how)

    class Mechanic:
        def __init__(self, parameters):
            self.parameters = parameters
            self.base = adamw(parameters, rate=1.0, foreach=True)
            self.reference = [p.detach().clone() for p in parameters]
            self.delta = [torch.zeros_like(p) for p in parameters]
            self.beta = torch.tensor(BETAS, device="cuda")
            self.s, self.r, self.v = (torch.zeros_like(self.beta) for _ in range(3))
            self.m = torch.full_like(self.beta, 1e-6)

        @torch.no_grad()
        def step(self):
            before = [p.clone() for p in self.parameters]
            self.base.step()
            self.scale(before)

        @torch.no_grad()
        def scale(self, before):
            gradients = torch.sqrt(sum(p.grad.square().sum() for p in self.parameters))
            norm = torch.sqrt(sum(p.square().sum() for p in self.parameters))
            decay = DECAY * self.s.sum() * gradients / (norm + EPSILON)
            product = torch.zeros((), device="cuda")
            for p, b, d in zip(self.parameters, before, self.delta):
                product = product + (d * (p.grad + decay * p)).sum()
                d.add_(p - b)
            self.m.copy_(torch.maximum(self.beta * self.m, product.abs()))
            self.v.copy_(self.beta * self.beta * self.v + product * product)
            self.r.copy_(torch.clamp(self.beta * self.r - self.s * product, min=0))
            self.s.copy_((INITIAL_SCALE / len(BETAS) * self.m + self.r) / (self.v.sqrt() + EPSILON))
            total = self.s.sum()
            for p, x0, d in zip(self.parameters, self.reference, self.delta):
                p.copy_(x0 + d * total)

    if compiled:
        # The largest first: compiling takes long, and they say most.
        for length in reversed(SIZES):
            if length <= largest:
                mechanic = Mechanic(model(1, length))
                mechanic.step()
                report("PyTorch Mechanic over AdamW, torch.compile", 1, length, timed(torch.compile(mechanic.step)))
        return
    shapes = [(1, size) for size in SIZES if size <= largest]
    if largest >= 10_000_000:
        shapes.append((10_000, 1_000))
    for tensors, length in shapes:
        report("PyTorch AdamW, fused", tensors, length, timed(adamw(model(tensors, length), fused=True).step))
        report("PyTorch AdamW, foreach", tensors, length, timed(adamw(model(tensors, length), foreach=True).step))
        if tensors == 1:
            # The state has the parameters' type, as PyTorch makes it.
            narrow = model(tensors, length, torch.bfloat16)
            report("PyTorch AdamW, fused", tensors, length, timed(adamw(narrow, fused=True).step), "bfloat16")
            report("PyTorch Mechanic over AdamW, operation by operation", tensors, length, timed(Mechanic(model(tensors, length)).step))
        torch.cuda.empty_cache()


def of_optax(largest):
    import time

    import jax
    import jax.numpy as jnp
    import optax

    print(f"JAX {jax.__version__}, optax {optax.__version__}, on {jax.devices()}", file=sys.stderr)

    for size in SIZES:
        if size > largest:
            break
        parameters = jax.random.normal(jax.random.key(1), (size,)) * 0.01
        gradients = jax.random.normal(jax.random.key(2), (size,)) * 0.01
        tuner = optax.contrib.mechanize(optax.adamw(1.0, weight_decay=0.0), weight_decay=DECAY)
        state = tuner.init(parameters)

        @jax.jit
        def step(gradients, state, parameters):
            updates, state = tuner.update(gradients, state, parameters)
            return optax.apply_updates(parameters, updates), state

        def run(count, parameters, state):
            begin = time.perf_counter()
            for _ in range(count):
                parameters, state = step(gradients, state, parameters)
            jax.block_until_ready(parameters)
            return (time.perf_counter() - begin) * 1e3, parameters, state

        for _ in range(3):
            once, parameters, state = run(1, parameters, state)
        count = max(1, min(1000, int(SAMPLE_MILLISECONDS / max(once, 1e-3))))
        times = []
        for _ in range(rounds(once)):
            elapsed, parameters, state = run(count, parameters, state)
            times.append(elapsed / count)
        report("optax mechanize(adamw), jit", 1, size, statistics.median(times) * 1e6)


def main():
    peers = {
        "torch": lambda largest: of_torch(largest, False),
        "compile": lambda largest: of_torch(largest, True),
        "optax": of_optax,
    }
    options = argparse.ArgumentParser()
    options.add_argument("--largest", type=float, default=1e8)
    options.add_argument("peers", nargs="+", choices=peers)
    chosen = options.parse_args()
    missing, failed = 0, 0
    for name in chosen.peers:
        try:
            peers[name](chosen.largest)
        except ImportError as error:
            missing += 1
            print(f"{name}: {error}", file=sys.stderr)
        except Exception as error:  # a compiler that fails is a result too, and must not keep the next peer
            failed += 1
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
    return 77 if missing == len(chosen.peers) else 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
