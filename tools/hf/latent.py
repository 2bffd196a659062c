"""IVT-LR and Coconut in the plainest form: all rows run again at every step, attention maps kept whole.

Written from the papers (arXiv:2510.12603, arXiv:2412.06769) and from the definitions in include/tenebra.h, on
top of Hugging Face's decoder. Nothing here is meant to be fast.
"""
import math
from dataclasses import dataclass, field

import torch

from hf import versions


@dataclass
class Settings:
    """The options of `tenebra run` that these methods have, by the same names and words."""
    method: str = "ivt-lr"
    n_latent: int = 3
    k_select: int = 32
    order: str = "vision-first"
    pick_order: str = "cuda"
    positions: str = "sequential"
    hidden: str = "normed"
    exhausted: str = "take"
    latent_text: str = "keep"
    latent_picks: str = "top"

    def options(self):
        """As arguments of `tenebra run`."""
        names = ["n_latent", "hidden", "latent_text", "positions"]
        if self.method == "ivt-lr":
            names += ["k_select", "order", "pick_order", "exhausted", "latent_picks"]
        words = ["--method", self.method]
        for name in names:
            words += ["--" + name.replace("_", "-"), str(getattr(self, name))]
        return words


@dataclass
class Step:
    picks: list            # candidates in the order of insertion
    scores: torch.Tensor   # [J] attention of the last row before the step, mean over layers and heads
    used: set              # candidates picked before
    fed: torch.Tensor      # [C] hidden state before any intervention
    lens: torch.Tensor     # [V] probabilities
    ratio: float = math.nan
    focus: float = math.nan


@dataclass
class Thought:
    steps: list = field(default_factory=list)
    lengths: list = field(default_factory=list)  # rows of each forward before the answer
    embeds: torch.Tensor = None                  # [S, C] prompt and latent blocks
    positions: torch.Tensor = None               # [3, S]
    first_logits: torch.Tensor = None            # [V] for the first token of the answer
    tokens: list = field(default_factory=list)
    gaps: list = field(default_factory=list)     # best minus second logit, one a token


def forward(model, embeds, positions):
    """One pass over rows [S, C] at positions [3, S]: normed rows, rows before the norm, and for each row its
    attention [S, S] as the mean over layers and heads."""
    seen = []
    decoder = versions.decoder(model)
    handle = decoder.norm.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    out = decoder(inputs_embeds=embeds[None], position_ids=versions.position_ids(model, positions), use_cache=False,
                      output_attentions=True)
    handle.remove()
    attention = torch.stack([layer[0] for layer in out.attentions]).double().mean((0, 1))
    return out.last_hidden_state[0], seen[0][0], attention


def choose(scores, used, settings, first_picks):
    """Candidates of one step in the order of insertion. scores [J]."""
    if settings.latent_picks == "none":
        return []
    if settings.latent_picks == "repeat" and first_picks is not None:
        return list(first_picks)
    fresh = [j for j in range(len(scores)) if j not in used]
    value = scores.tolist()
    if settings.latent_picks == "lowest":
        return sorted(fresh, key=lambda j: (value[j], j))[:settings.k_select]
    ranked = sorted(fresh, key=lambda j: (-value[j], j))[:settings.k_select]
    again = []
    if settings.exhausted == "repick":
        again = sorted(used)[:max(0, min(settings.k_select, len(value)) - len(ranked))]
    if settings.pick_order == "asc":
        return sorted(ranked + again)
    if settings.pick_order == "desc":
        return ranked + again
    if again:  # used ones count as minus infinity, which is then the K-th score
        return sorted(ranked) + again
    last = value[ranked[-1]] if ranked else 0
    return sorted(j for j in ranked if value[j] > last) + sorted(j for j in ranked if value[j] == last)


def measure(step, attention, pick_rows, text_rows):
    """Attention ratio and focus of the step whose block ends with the row `attention` [S]."""
    picks = [float(attention[row]) for row in pick_rows]
    texts = sum(float(attention[row]) for row in text_rows)
    if not picks:
        return
    if texts > 0:
        step.ratio = sum(picks) / texts
    shares = [value / sum(picks) for value in picks]
    step.focus = 1 / (-sum(share * math.log(share) for share in shares if share > 0) + 1e-6)


@torch.no_grad()
def think(model, embeds, positions, image_rows, settings, max_tokens, ends, test_first=True, tail=None):
    """embeds [P, C] of the prompt, positions [3, P], image_rows: rows of the prompt that may be picked.
    `ends`: tokens that end the answer; the first is not tested against them unless test_first. `tail` [T, C]: rows between
    the latent steps and the answer."""
    thought = Thought()
    source, used, first_picks, first_text, text_rows, mean = embeds, set(), None, None, [], None
    watched = None
    for _ in range(settings.n_latent):
        normed, raw, attention = forward(model, embeds, positions)
        thought.lengths.append(len(embeds))
        if watched:
            measure(thought.steps[-1], attention[-1], *watched)
        mean = normed.mean(0) if mean is None else mean
        hidden = (raw if settings.hidden == "raw" else normed)[-1]
        scores = attention[-1][image_rows]
        picks = [] if settings.method == "coconut" else choose(scores, used, settings, first_picks)
        if settings.latent_text == "drop" and not picks:
            watched = None
            break
        thought.steps.append(Step(picks, scores, set(used), hidden, versions.head(model, normed[-1]).softmax(-1)))
        first_text = hidden if first_text is None else first_text
        first_picks = picks if first_picks is None else first_picks
        used |= set(picks)
        text = {"keep": hidden, "zero": torch.zeros_like(hidden), "mean": mean, "frozen": first_text,
                "drop": None}[settings.latent_text]
        texts = [] if text is None else [text]
        visions = [source[image_rows[j]] for j in picks]
        block = texts + visions if settings.order == "text-first" else visions + texts
        begin = len(embeds) + (len(texts) if settings.order == "text-first" else 0)
        if texts:
            text_rows.append(len(embeds) + (0 if settings.order == "text-first" else len(visions)))
        watched = (range(begin, begin + len(picks)), list(text_rows))
        embeds, positions = extend(embeds, positions, torch.stack(block))
    if tail is not None and len(tail):
        if watched:
            measure(thought.steps[-1], forward(model, embeds, positions)[2][-1], *watched)
            watched = None
        embeds, positions = extend(embeds, positions, tail)
    thought.embeds, thought.positions = embeds, positions
    answer(model, thought, watched, max_tokens, ends, test_first)
    return thought


def extend(embeds, positions, rows):
    """Appends rows; each goes one position on from the largest, on all three axes."""
    begin = int(positions.max()) + 1
    more = torch.arange(begin, begin + len(rows)).expand(3, -1)
    return torch.cat([embeds, rows]), torch.cat([positions, more], 1)


def answer(model, thought, watched, max_tokens, ends, test_first):
    embeds, positions = thought.embeds, thought.positions
    while len(thought.tokens) < max_tokens:
        normed, _, attention = forward(model, embeds, positions)
        if watched:
            measure(thought.steps[-1], attention[-1], *watched)
            watched = None
        logits = versions.head(model, normed[-1])
        if thought.first_logits is None:
            thought.first_logits = logits
            thought.lengths.append(len(embeds))
        best = logits.topk(2).values
        thought.tokens.append(int(logits.argmax()))
        thought.gaps.append(float(best[0] - best[1]))
        if thought.tokens[-1] in ends and (test_first or len(thought.tokens) > 1):
            break
        row = versions.decoder(model).embed_tokens(torch.tensor(thought.tokens[-1:]))
        embeds, positions = extend(embeds, positions, row)
