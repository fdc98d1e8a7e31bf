"""HUMEA's published equations in plain PyTorch, for comparison of speed and memory: `train.py STORE --epochs 3`.

Prints one line of JSON: seconds per epoch (median), peak memory of the process, losses.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
import warnings
from collections import Counter

import numpy
import pyarrow.parquet
import torch
from torch import nn
from torch.nn import functional as F

WIDTH, EXPERTS, TOP = 300, 5, 5
ORDER = ["graph", "image", "relation", "relation_text", "attribute", "attribute_text"]
COMBINATIONS = [["image"], ["relation_text"], ["attribute_text"], ["relation", "attribute"], ["graph", "relation"],
                ["graph", "attribute"], ["graph", "relation", "attribute"]]
TAU_CONTRASTIVE, TAU_DISTILLATION, WEIGHT_DISTILLATION, WEIGHT_DECOUPLING = 0.1, 4.0, 0.1, 1e-4


# --------------------------------------------------------------------------------------------------------- the inputs


def bag(rows: list[list[str]], binary: bool, columns: int = 1000) -> torch.Tensor:
    """Counts (or presence) of the most frequent names, as a dense matrix."""
    frequency = Counter(name for row in rows for name in row)
    column = {name: place for place, (name, _count) in enumerate(frequency.most_common(columns))}
    matrix = torch.zeros(len(rows), columns)
    for entity, row in enumerate(rows):
        for name in row:
            if name in column:
                matrix[entity, column[name]] = 1.0 if binary else matrix[entity, column[name]] + 1.0
    return matrix


def vectors(column) -> torch.Tensor:
    """A vector column; missing rows drawn from the mean and deviation of the present ones, all normalised."""
    width = column.type.list_size
    present = numpy.array(column.is_valid())
    dense = column.drop_null().combine_chunks().flatten().to_numpy().reshape(-1, width)
    matrix = numpy.random.normal(dense.mean(0), dense.std(0), (len(present), width)).astype("float32")
    matrix[present] = dense
    return F.normalize(torch.from_numpy(matrix))


def read(path: str, rate: float):
    """Features by modality, both directions of every edge with self-loops, and the training links."""
    table = pyarrow.parquet.read_table(path)
    edges = table["edges"].to_pylist()
    count = table.num_rows
    relations: list[list[str]] = [[] for _ in range(count)]
    pairs = {(entity, entity) for entity in range(count)}
    for head, row in enumerate(edges):
        for edge in row:
            relations[head].append(edge["relation"])
            relations[edge["tail"]].append(edge["relation"])
            pairs |= {(head, edge["tail"]), (edge["tail"], head)}
    features = {"relation": bag(relations, binary=False),
                "attribute": bag([[fact["name"] for fact in row] for row in table["attributes"].to_pylist()], binary=True)}
    for name in ("image", "relation_text", "attribute_text"):
        if name in table.column_names:
            features[name] = vectors(table[name])
    side = table["side"].to_pylist()
    links = numpy.array([(left, right) for left, row in enumerate(table["links"].to_pylist()) if side[left] == 0 for right in row])
    numpy.random.RandomState(42).shuffle(links)
    train = torch.from_numpy(links[: int(len(links) * rate)])
    return features, torch.tensor(sorted(pairs)).T.contiguous(), train


# ---------------------------------------------------------------------------------------------------------- the model


class EdgeProduct(torch.autograd.Function):
    """values on edges × dense matrix, with the edge gradient read out of a dense N×N product."""

    @staticmethod
    def forward(context, edges, values, matrix):
        sparse = torch.sparse_coo_tensor(edges, values, (matrix.shape[0], matrix.shape[0]), is_coalesced=True)
        context.save_for_backward(edges, values, matrix)
        return sparse @ matrix

    @staticmethod
    def backward(context, gradient):
        edges, values, matrix = context.saved_tensors
        dense = gradient @ matrix.T
        sparse = torch.sparse_coo_tensor(edges, values, dense.shape, is_coalesced=True)
        return None, dense[edges[0], edges[1]], sparse.T @ gradient


class GraphLayer(nn.Module):
    """Two attention heads with diagonal weights, averaged."""

    def __init__(self, heads: int = 2) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(heads, WIDTH))
        self.attention = nn.Parameter(torch.empty(heads, 2 * WIDTH).uniform_(-1, 1) / (2 * WIDTH) ** 0.5)

    def forward(self, x, edges):
        outputs = []
        for weight, attention in zip(self.weight, self.attention):
            h = x * weight
            joined = torch.cat((h[edges[0]], h[edges[1]]), dim=1)
            strength = torch.exp(-F.leaky_relu(joined @ attention, 0.2))
            total = EdgeProduct.apply(edges, strength, torch.ones(len(x), 1))
            outputs.append(EdgeProduct.apply(edges, strength, h) / total)
        return torch.stack(outputs).mean(0)


class Experts(nn.Module):
    """Five affine experts and a noisy gate over them."""

    def __init__(self, wide: int) -> None:
        super().__init__()
        self.weight = nn.ParameterList(nn.Parameter(torch.randn(WIDTH, wide) * 0.02) for _ in range(EXPERTS))
        self.shift = nn.ParameterList(nn.Parameter(torch.zeros(wide)) for _ in range(EXPERTS))
        self.gate = nn.Parameter(torch.zeros(wide, EXPERTS))
        self.noise = nn.Parameter(torch.zeros(wide, EXPERTS))

    def forward(self, x):
        outputs = torch.stack([(x - shift) @ weight.T for weight, shift in zip(self.weight, self.shift)], dim=1)
        logits = x @ self.gate
        logits = logits + torch.randn_like(logits) * (F.softplus(x @ self.noise) + 0.01)
        return (F.softmax(logits, dim=1).unsqueeze(2) * outputs).sum(1), outputs


class Estimator(nn.Module):
    """The variational network of the decoupling term."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Sequential(nn.Linear(WIDTH, WIDTH // 2), nn.ReLU(), nn.Linear(WIDTH // 2, WIDTH))
        self.spread = nn.Sequential(nn.Linear(WIDTH, WIDTH // 2), nn.ReLU(), nn.Linear(WIDTH // 2, WIDTH), nn.Tanh())

    def bound(self, x, y):
        mean, spread = self.mean(x), self.spread(x).exp()
        other = y[torch.randperm(len(y))]
        return 0.5 * (-(mean - y) ** 2 / spread + (mean - other) ** 2 / spread).sum(1).mean()

    def likelihood_loss(self, x, y):
        mean, spread = self.mean(x), self.spread(x).exp()
        return ((mean - y) ** 2 / (2 * spread)).sum(1).mean()


class Model(nn.Module):
    """Graph encoder, experts and fusion."""

    def __init__(self, features: dict[str, torch.Tensor], entities: int) -> None:
        super().__init__()
        self.names = [name for name in ORDER if name == "graph" or name in features]
        self.table = nn.Parameter(torch.randn(entities, WIDTH) / entities**0.5)
        self.layers = nn.ModuleList([GraphLayer(), GraphLayer()])
        self.experts = nn.ModuleDict({name: Experts(matrix.shape[1]) for name, matrix in features.items()})
        self.mixture = nn.Parameter(torch.zeros(len(COMBINATIONS)))
        self.alignment = nn.Parameter(torch.zeros(len(self.names)))
        self.distillation = nn.Parameter(torch.zeros(len(self.names)))

    def forward(self, features, edges):
        graph = self.layers[1](F.elu(self.layers[0](self.table, edges)), edges)
        single, stacks = {"graph": graph}, {}
        for name, matrix in features.items():
            single[name], stacks[name] = self.experts[name](matrix)
        share = F.softmax(self.mixture, dim=0)
        top = share.topk(TOP)
        share = torch.zeros_like(share).scatter(0, top.indices, top.values / top.values.sum())
        weight = {name: sum(share[i] for i, part in enumerate(COMBINATIONS) if name in part) for name in self.names}
        joint = torch.cat([weight[name] * F.normalize(single[name]) for name in self.names], dim=1)
        return single, joint, stacks


def logits(x, left, right, tau):
    """Both blocks of logits of a batch of links, freshly normalised."""
    l, r = F.normalize(x[left]), F.normalize(x[right])
    never = torch.eye(len(left)) * 1e9
    return torch.cat((l @ r.T, l @ l.T - never), 1) / tau, torch.cat((r @ l.T, r @ r.T - never), 1) / tau


def contrastive(x, left, right):
    target = torch.arange(len(left))
    return sum(F.cross_entropy(block, target) for block in logits(x, left, right, TAU_CONTRASTIVE)) / 2


def distilled(student, teacher, left, right):
    blocks = zip(logits(student, left, right, TAU_DISTILLATION), logits(teacher.detach(), left, right, TAU_DISTILLATION))
    return sum(F.kl_div(F.log_softmax(s, 1), F.softmax(t, 1), reduction="mean") for s, t in blocks) / 2


def block_loss(model, single, joint, left, right):
    """Unimodal alignment, unimodal distillation and the joint loss of one block of links."""
    total = contrastive(joint, left, right)
    for number, name in enumerate(model.names):
        s, t = model.alignment[number], model.distillation[number]
        total = total + torch.exp(-s) * contrastive(single[name], left, right) + s
        soft = WEIGHT_DISTILLATION * distilled(single[name], joint, left, right)
        total = total + WEIGHT_DISTILLATION * (torch.exp(-t) * soft + t)
    return total


def expert_pair(stack):
    one, other = torch.randperm(EXPERTS)[:2].tolist()
    return stack[:, one], stack[:, other]


def epoch(model, estimators, optimisers, features, edges, links, batch):
    """One step on the sum over all blocks, then one step of the estimators on fresh expert outputs."""
    single, joint, stacks = model(features, edges)
    total = sum(block_loss(model, single, joint, part[:, 0], part[:, 1]) for part in links[torch.randperm(len(links))].split(batch))
    bounds = [estimators[name].bound(*expert_pair(stack)) for name, stack in stacks.items()]
    total = total + WEIGHT_DECOUPLING * sum(bounds) / len(bounds)
    optimisers[0].zero_grad()
    total.backward()
    optimisers[0].step()
    with torch.no_grad():
        fresh = model(features, edges)[2]
    loss = sum(estimators[name].likelihood_loss(*expert_pair(stack)) for name, stack in fresh.items()) / len(fresh)
    optimisers[1].zero_grad()
    loss.backward()
    optimisers[1].step()
    return total.item()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("store")
    arguments.add_argument("--epochs", type=int, default=3)
    arguments.add_argument("--rate", type=float, default=0.2)
    arguments.add_argument("--batch", type=int, default=512)
    arguments.add_argument("--threads", type=int, default=2)
    given = arguments.parse_args()
    warnings.simplefilter("ignore")  # about sparse tensors and the mean of the divergence: both as published
    torch.set_num_threads(given.threads)
    torch.manual_seed(42)
    numpy.random.seed(42)
    features, edges, links = read(given.store, given.rate)
    model = Model(features, int(edges.max()) + 1)
    estimators = nn.ModuleDict({name: Estimator() for name in features})
    optimisers = [torch.optim.AdamW(part.parameters(), lr=5e-4, weight_decay=0.01) for part in (model, estimators)]
    seconds, losses = [], []
    for _ in range(given.epochs):
        begun = time.perf_counter()
        losses.append(epoch(model, estimators, optimisers, features, edges, links, given.batch))
        seconds.append(time.perf_counter() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds_per_epoch": round(statistics.median(seconds), 3), "peak_mib": round(peak), "losses": losses}))


if __name__ == "__main__":
    main()
