#!/usr/bin/env python3
"""`tenebra verify` over all golden cases, and its negative controls: a changed expectation, a changed weight, a NaN, the
model of another case, or a case without known names must not pass.

    verify.py PROGRAM DATA      DATA: tests/data
"""
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM, GOLDEN = sys.argv[1], Path(sys.argv[2]) / "golden"
failures = []


def check(condition, sentence):
    if not condition:
        failures.append(sentence)
        print("FAILED:", sentence)


def run(*arguments, **more):
    environment = dict(os.environ, **more.pop("environment", {}))
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, env=environment, **more)


# ------------------------------------------------------------ safetensors --

SIZES = {"F32": 4, "BF16": 2, "I64": 8, "U8": 1}


def load(path):
    data = Path(path).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + length]), bytearray(data[8 + length:])


def save(path, header, body):
    text = json.dumps(header).encode()
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + bytes(body))


def change(header, body, name, how, at=0):
    """Replaces element `at` of a tensor by how(old value)."""
    entry = header[name]
    kind = {"F32": "<f", "I64": "<q", "U8": "<B"}[entry["dtype"]]
    place = entry["data_offsets"][0] + at * SIZES[entry["dtype"]]
    old = struct.unpack_from(kind, body, place)[0]
    struct.pack_into(kind, body, place, how(old))


# ------------------------------------------------------------------ tests --

def passes_with_every_kernel_set():
    names = run("bench", "--list-kernels").stdout.split()
    check("reference" in names, f"kernel sets: {names}")
    for name in names:
        for folder, least in (("preprocess", 5), ("qwen2vl_tied", 150), ("qwen2vl_untied", 150), ("other_shape", 100)):
            result = run("verify", "--json", GOLDEN / folder / "case.safetensors", environment={"TENEBRA_KERNELS": name})
            report = json.loads(result.stdout)
            wrong = [row["name"] for row in report["rows"] if row["verdict"] != "ok"]
            check(result.returncode == 0 and not wrong, f"{folder} with {name}: {wrong} {result.stderr}")
            check(len(report["rows"]) >= least, f"{folder} with {name}: only {len(report['rows'])} quantities")


def threads_change_nothing():
    case = GOLDEN / "qwen2vl_tied/case.safetensors"
    outputs = {run("verify", "--json", "-t", count, case).stdout for count in (1, 2, 3)}
    check(len(outputs) == 1 and "" not in outputs, "the report depends on the number of threads")


def changed_expectations_are_noticed(work):
    """One element of one quantity of every kind; verify must name just that one."""
    case = GOLDEN / "qwen2vl_untied/case.safetensors"
    header, _ = load(case)
    chosen = ["vision.embeds", "vision.block.1", "multi.embeds", "plain.mrope.position_ids", "plain.mrope.logits_last24",
              "plain.arange.hidden.2", "textonly.last_logits", "ivtlr.K5.N2.cuda.selected", "ivtlr.K5.N2.cuda.scores",
              "ivtlr.K5.N2.desc.latent_hidden", "ivtlr.K5.N4.asc.generated", "ivtlr.K5.N3.cuda.loss",
              "ivtlr.K8.N4.cuda.label_logits", "ivtlr.K5.N2.cuda.gen_calls", "eos.later.generated", "batch2.selected"]
    broken = Path(work) / "broken.safetensors"
    for number, name in enumerate(chosen):
        if name not in header:
            check(False, f"the case has no {name}")
            continue
        changes = [("changed", lambda old: old + (1 if isinstance(old, int) else max(1e-2, 1e-2 * abs(old))))]
        if header[name]["dtype"] == "F32" and number % 3 == 0:
            changes.append(("NaN", lambda old: math.nan))
        for word, how in changes:
            header_now, body = load(case)
            change(header_now, body, name, how)
            save(broken, header_now, body)
            result = run("verify", "--json", "-m", case.parent / "model", broken)
            wrong = [row["name"] for row in json.loads(result.stdout)["rows"] if row["verdict"] != "ok"]
            check(result.returncode == 1 and wrong == [name], f"{name} {word}: exit {result.returncode}, failed {wrong}")


def changed_weights_are_noticed(work):
    case = GOLDEN / "qwen2vl_tied/case.safetensors"
    model = Path(work) / "model"
    model.mkdir()
    (model / "config.json").write_bytes((case.parent / "model/config.json").read_bytes())
    for name in ("visual.blocks.0.attn.qkv.bias", "model.layers.1.self_attn.k_proj.bias", "model.norm.weight"):
        header, body = load(case.parent / "model/model.safetensors")
        for at in range(4):
            change(header, body, name, lambda old: old + 0.25, at)
        save(model / "model.safetensors", header, body)
        result = run("verify", "-q", "-m", model, case)
        check(result.returncode == 1 and "first divergence:" in result.stdout, f"a changed {name} passed")


def refusals(work):
    tied = GOLDEN / "qwen2vl_tied"
    result = run("verify", "-m", GOLDEN / "qwen2vl_untied/model", tied / "case.safetensors")
    check(result.returncode == 1, f"the model of another case: exit {result.returncode}")
    unknown = Path(work) / "unknown.safetensors"
    save(unknown, {"nobody.knows.this": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4))
    result = run("verify", "-m", tied / "model", unknown)
    check(result.returncode == 1, f"nothing recognised: exit {result.returncode}")
    covered = run("verify", "--strict", "-q", tied / "case.safetensors")
    partly = run("verify", "--strict", "-q", GOLDEN / "preprocess/case.safetensors")
    check(covered.returncode == 0 and partly.returncode == 1, "--strict is about what is not covered")
    check(run("verify", Path(work) / "absent.safetensors").returncode == 1, "a missing case")
    check(run("verify").returncode == 2, "no case: wrong usage")


def main():
    with tempfile.TemporaryDirectory() as work:
        passes_with_every_kernel_set()
        threads_change_nothing()
        changed_expectations_are_noticed(work)
        changed_weights_are_noticed(work)
        refusals(work)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
