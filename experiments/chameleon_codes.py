#!/usr/bin/env python3
"""Writes a small model of Chameleon's architecture whose image codes are fixed: experiments/chameleon.sh trains its decoder.

    chameleon_codes.py IMAGES TOKENIZER OUTPUT

IMAGES is a directory of images of hops of 4 x 4 objects, TOKENIZER one that `tenebra data vocab` made. Requires numpy and Pillow.

The encoder has the published structure with four levels, so a cell of 8 x 8 pixels becomes a code. It is not trained: residual
blocks and attention add nothing, and the three convolutions with stride 2 gather a cell's 192 pixels, so that together they
compute any linear map of a cell. The map is the first 32 principal components of the pixels, of the mean of the 4 x 4 pixels in the
middle, which show the object's colour, and of the mean of the corners, which show the ground; the means weigh more. k-means of these
components over the given images, without any label, makes the 1,024 entries of the codebook.

Two details make the map pass through group norm and swish unchanged. The 32 groups have three channels: a component, its negative
and a constant so large that mean and deviation of the group hardly depend on the image. The norm's shift moves the component to
where swish is nearly linear.
"""
import json
import struct
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIDE, CELL, PARTS, CODES, GROUPS = 32, 8, 32, 1024, 128  # pixels of an image and of a cell, components, codes and groups of them
WEIGHTS = 0.3, 16.0, 16.0  # of the pixels, of the mean of the middle, of that of the corners
CONSTANT = 768.0    # the third channel of each group
OFFSET = 40.0       # what swish is applied to: component + OFFSET
BASE, LEVELS = 32, (1, 2, 3, 3)
WIDTH, INNER, HEADS, LAYERS = 192, 384, 6, 4  # of the decoder, those of shape hops
CONTROL = ["<s>", "<pad>", "</s>", "<unk>", "<eoss>", "<racm3:break>", "<reserved08706>", "<image>"]


def read(directory, count):
    """[count, 3, 32, 32], as the image processor makes them."""
    files = sorted(Path(directory).glob("*.png"))[:count]
    if len(files) < 200:
        sys.exit(f"chameleon_codes.py: {directory} has {len(files)} images, 200 are required")
    pixels = [np.asarray(Image.open(f).convert("RGB").resize((SIDE, SIDE), Image.LANCZOS)) for f in files]
    return (np.stack(pixels) * 0.0078 - 1).astype(np.float32).transpose(0, 3, 1, 2)


def cells(images):
    """The cells [count * 16, 192]: row, column, colour, in the order in which the convolutions gather them."""
    n, grid = len(images), SIDE // CELL
    return images.reshape(n, 3, grid, CELL, grid, CELL).transpose(0, 2, 4, 3, 5, 1).reshape(n * grid * grid, -1)


def components(x):
    """The map [32, 192] of a cell, and its mean."""
    middle, corners = np.zeros((3, CELL, CELL, 3)), np.zeros((3, CELL, CELL, 3))
    middle[:, 2:6, 2:6] = np.eye(3)[:, None, None, :] / 16
    corners[:, ::CELL - 1, ::CELL - 1] = np.eye(3)[:, None, None, :] / 4
    stretch = np.concatenate([WEIGHTS[0] * np.eye(192), WEIGHTS[1] * middle.reshape(3, 192), WEIGHTS[2] * corners.reshape(3, 192)])
    features = x.astype(np.float64) @ stretch.T
    _, _, axes = np.linalg.svd(features - features.mean(0), full_matrices=False)
    return axes[:PARTS] @ stretch, x.mean(0, dtype=np.float64)


def gathered():
    """Where the convolutions put a pixel of the cell: channel of the last one's input, and its kernel's row and column."""
    place = np.zeros((CELL, CELL, 3, 3), int)
    for y in range(CELL):
        for x in range(CELL):
            for c in range(3):
                first = 3 * (2 * (y % 2) + x % 2) + c
                place[y, x, c] = (12 * (2 * (y // 2 % 2) + x // 2 % 2) + first, y // 4, x // 4)
    return place.reshape(-1, 3)


def conv(outputs, inputs, side=3):
    return np.zeros((outputs, inputs, side, side), np.float32)


def encoder(project, mean):
    """The tensors before the codebook, by name."""
    t, widths = {}, [BASE * level for level in LEVELS]
    top = widths[-1]

    def put(name, weight, bias=None):
        t[f"model.vqmodel.{name}.weight"] = weight
        t[f"model.vqmodel.{name}.bias"] = np.zeros(weight.shape[0], np.float32) if bias is None else bias.astype(np.float32)

    def norms(name, width):
        put(name, np.ones(width, np.float32))

    def block(name, before, after):
        norms(f"{name}.norm1", before)
        put(f"{name}.conv1", conv(after, before))
        norms(f"{name}.norm2", after)
        put(f"{name}.conv2", conv(after, after))

    start = conv(BASE, 3)
    start[range(3), range(3), 1, 1] = 1
    put("encoder.conv_in", start)
    before = BASE
    for level, width in enumerate(widths):
        name = f"encoder.down.{level}"
        block(f"{name}.block.0", before, width)
        if before != width:
            keep = conv(width, before, 1)
            keep[range(before), range(before), 0, 0] = 1
            put(f"{name}.block.0.nin_shortcut", keep)
        before = width
    for level, channels in ((0, 3), (1, 12)):
        gather = conv(widths[level], widths[level])
        for part in range(4):
            gather[range(channels * part, channels * (part + 1)), range(channels), part // 2, part % 2] = 1
        put(f"encoder.down.{level}.downsample.conv", gather)
    apply, shift = conv(widths[2], widths[2]), np.zeros(widths[2])
    channel, row, column = gathered().T
    for part in range(PARTS):
        apply[3 * part, channel, row, column] = project[part]
        apply[3 * part + 1, channel, row, column] = -project[part]
        shift[3 * part:3 * part + 3] = -project[part] @ mean, project[part] @ mean, CONSTANT
    put("encoder.down.2.downsample.conv", apply, shift)
    for number in (1, 2):
        block(f"encoder.mid.block_{number}", top, top)
    norms("encoder.mid.attn_1.norm", top)
    for name in ("q", "k", "v", "proj_out"):
        put(f"encoder.mid.attn_1.{name}", conv(top, top, 1))
    deviation = CONSTANT * 2 ** 0.5 / 3
    put("encoder.norm_out", np.full(top, deviation, np.float32), np.full(top, CONSTANT / 3 + OFFSET))
    pick = conv(PARTS, top)
    pick[range(PARTS), range(0, top, 3), 1, 1] = 1
    put("encoder.conv_out", pick)
    same = conv(PARTS, PARTS, 1)
    same[range(PARTS), range(PARTS), 0, 0] = 1
    put("quant_conv", same)
    put("post_quant_conv", same)
    return t


def outputs(x, project, mean):
    """What the encoder computes for cells: swish of the shifted components."""
    y = (x - mean) @ project.T + OFFSET
    return (y / (1 + np.exp(-y))).astype(np.float32)


def nearest(x, book):
    square = (book * book).sum(1)
    return np.concatenate([(square - 2 * x[at:at + 4096] @ book.T).argmin(1) for at in range(0, len(x), 4096)])


def k_means(x, entries, rounds=30):
    rng = np.random.default_rng(1)
    book = x[rng.choice(len(x), entries, replace=False)]
    for _ in range(rounds):
        code = nearest(x, book)
        total, count = np.zeros_like(book), np.bincount(code, minlength=entries)
        np.add.at(total, code, x)
        book = np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], x[rng.choice(len(x), entries)])
    return book.astype(np.float32)


def embeddings(book, ids):
    """Random rows. Codes whose entries in the codebook are similar, by k-means into 128 groups, start from the same row."""
    rng, rows = np.random.default_rng(2), max(ids.values()) + 1
    table = rng.normal(size=(rows, WIDTH))
    group = nearest(book, k_means(book, GROUPS))
    table[[ids[name_of(code)] for code in range(CODES)]] = rng.normal(size=(GROUPS, WIDTH))[group]
    return (table / WIDTH ** 0.5).astype(np.float32) # also the head, as in shape hops: hidden states resemble the word to come


def decoder():
    """The other tensors of the decoder. They are zero: the recipe starts them from random values (`fresh`)."""
    t = {"model.norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            t[f"{at}{name}.weight"] = (WIDTH,)
        for name in "qkvo":
            t[f"{at}self_attn.{name}_proj.weight"] = (WIDTH, WIDTH)
        for name in "qk":
            t[f"{at}self_attn.{name}_norm.weight"] = t[f"{at}self_attn.{name}_norm.bias"] = (HEADS, WIDTH // HEADS)
        for name, shape in (("gate", (INNER, WIDTH)), ("up", (INNER, WIDTH)), ("down", (WIDTH, INNER))):
            t[f"{at}mlp.{name}_proj.weight"] = shape
    return {name: np.zeros(shape, np.float32) for name, shape in t.items()}


def name_of(code):
    return "IMGIMG" + "".join(chr(ord("A") + int(digit)) for digit in str(code)) + "Z"


def write_tokenizer(source, output):
    """The words of `source` with the tokens of Chameleon; returns their ids."""
    data = json.loads((Path(source) / "tokenizer.json").read_text())
    first = len(data["model"]["vocab"])
    names = CONTROL + [name_of(code) for code in range(CODES)]
    ids = {name: first + at for at, name in enumerate(names)}
    data["added_tokens"] = [{"id": at, "content": name, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
                             "special": True} for name, at in ids.items()]
    begin = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    data["post_processor"] = {
        "type": "TemplateProcessing", "single": [begin, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [begin, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [ids["<s>"]], "tokens": ["<s>"]}}}
    (output / "tokenizer.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    (output / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "LlamaTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>",
        "sep_token": "<reserved08706>", "add_bos_token": True, "add_eos_token": False, "model_max_length": 4096,
        "clean_up_tokenization_spaces": False}, indent=1) + "\n")
    return ids


def write_config(ids, output):
    control = {"bos_token_id": ids["<s>"], "eos_token_id": ids["</s>"], "pad_token_id": ids["<pad>"]}
    config = {
        "architectures": ["ChameleonForConditionalGeneration"], "model_type": "chameleon", "dtype": "float32", **control,
        "hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "hidden_act": "silu", "swin_norm": False, "tie_word_embeddings": True, "vocab_size": max(ids.values()) + 1,
        "vocabulary_map": ids,
        "vq_config": {"base_channels": BASE, "channel_multiplier": LEVELS, "num_res_blocks": 1, "latent_channels": PARTS,
                      "embed_dim": PARTS, "num_embeddings": CODES, "resolution": SIDE, "attn_type": "vanilla"}}
    (output / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (output / "generation_config.json").write_text(json.dumps(control, indent=1) + "\n")
    (output / "preprocessor_config.json").write_text(json.dumps({
        "image_processor_type": "ChameleonImageProcessor", "size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE},
        "resample": 1, "do_rescale": True, "rescale_factor": 0.0078, "do_normalize": True, "image_mean": [1.0] * 3,
        "image_std": [1.0] * 3}, indent=1) + "\n")
    (output / "processor_config.json").write_text(json.dumps({  # for transformers
        "processor_class": "ChameleonProcessor", "image_seq_length": (SIDE // CELL) ** 2}, indent=1) + "\n")


def write_tensors(path, tensors):
    header, at = {}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            file.write(np.ascontiguousarray(values, "<f4").tobytes())


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__.split("\n\n")[1].strip())
    output = Path(sys.argv[3])
    output.mkdir(parents=True, exist_ok=True)
    x = cells(read(sys.argv[1], 4000))
    project, mean = components(x)
    z = outputs(x, project, mean)
    book = k_means(z, CODES)
    error = ((z - book[nearest(z, book)]) ** 2).sum() / ((z - z.mean(0)) ** 2).sum()
    print(f"{CODES} codes of {len(x)} cells; what they do not carry: {100 * error:.1f} % of the variance of the components")
    ids = write_tokenizer(sys.argv[2], output)
    write_config(ids, output)
    write_tensors(output / "model.safetensors", encoder(project, mean) | decoder() |
                  {"model.vqmodel.quantize.embedding.weight": book, "model.embed_tokens.weight": embeddings(book, ids)})


if __name__ == "__main__":
    main()
