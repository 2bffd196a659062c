"""What transformers 4.51, 4.57 and 5 call differently. Everything else of tools/hf is written once."""
import torch
import transformers
from transformers import Qwen2VLForConditionalGeneration, Qwen2VLProcessor

VERSION = tuple(map(int, transformers.__version__.split(".")[:2]))
NEW = VERSION >= (4, 52)  # modules are called model.language_model and model.visual

try:  # transformers 5: the class of the old name resizes with torchvision, whose bicubic differs from Pillow's
    from transformers import Qwen2VLImageProcessorPil as ImageProcessor
except ImportError:
    from transformers import Qwen2VLImageProcessor as ImageProcessor


def load(directory, **options):
    """The model in float32 with eager attention."""
    name = "dtype" if VERSION >= (5, 0) else "torch_dtype"
    return Qwen2VLForConditionalGeneration.from_pretrained(directory, attn_implementation="eager",
                                                           **{name: torch.float32}, **options)


def loading_report(report):
    """Kinds of tensors that did not fit: a dict of lists in every version."""
    names = ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")
    get = report.get if isinstance(report, dict) else lambda name: getattr(report, name, None)
    return {name: list(get(name)) for name in names if get(name)}


def make_processor(directory, tokenizer):
    parts = [ImageProcessor.from_pretrained(directory), tokenizer]
    if NEW:
        from transformers import Qwen2VLVideoProcessor
        parts.append(Qwen2VLVideoProcessor())
    return Qwen2VLProcessor(*parts, chat_template=tokenizer.chat_template)


def pixel_limits(image_processor):
    """Least and most pixels; transformers 5 keeps them in `size` only."""
    if VERSION >= (5, 0):
        return image_processor.size["shortest_edge"], image_processor.size["longest_edge"]
    return image_processor.min_pixels, image_processor.max_pixels


def decoder(model):
    return getattr(model.model, "language_model", model.model)


def position_ids(model, positions):
    """[3, S] as the decoder takes them: one axis where images are tokens."""
    return positions[:1] if hasattr(model.model, "vocabulary_mapping") else positions[:, None, :]


def head(model, rows):
    """Logits; tokens that stand for images are never generated."""
    logits = model.lm_head(rows)
    if hasattr(model.model, "vocabulary_mapping"):
        logits[..., model.model.vocabulary_mapping.image_tokens] = torch.finfo(logits.dtype).min
    return logits


def tower(model):
    return model.model.visual if NEW else model.visual


def image_rows(model, pixels, grid):
    """Image embeddings [J, C]."""
    out = tower(model)(pixels, grid_thw=grid)
    return getattr(out, "pooler_output", out)


def rope_index(model, inputs):
    """M-RoPE positions [3, P] of one prompt."""
    ids, grid, mask = inputs["input_ids"], inputs.get("image_grid_thw"), inputs["attention_mask"]
    owner = model.model if NEW else model
    if VERSION < (5, 0):
        return owner.get_rope_index(ids, grid, None, mask)[0][:, 0]
    if grid is None:  # there it is for prompts with pictures only
        return torch.arange(ids.shape[1]).expand(3, -1)
    kinds = (ids == model.config.image_token_id).int()
    return owner.get_rope_index(ids, kinds, grid, None, mask)[0][:, 0]


def forward_inputs(model, inputs):
    """Arguments of the model's forward: transformers 5 asks which tokens stand for pictures."""
    if VERSION < (5, 0) or "pixel_values" not in inputs:
        return dict(inputs)
    return {**inputs, "mm_token_type_ids": (inputs["input_ids"] == model.config.image_token_id).int()}
