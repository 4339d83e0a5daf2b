"""A frozen vision-language model that learns from exact answers: LoRA in its language part, and geometry tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from models.chat import Question, encoded
from models.config import ModelConfig
from models.geometry_tokens import FINDINGS, TOKENS, GeometryTokens, Shown, at_once, findings, named
from models.model import Model
from models.vlm_folder import load_vlm, save_processor, unit_of
from models.weights import load_model, save_model
from synth.export import Example
from synth.files import write_whole
from synth.safe_read import read_json, read_picture

SETTINGS, LORA, WHOLE, GEOMETRY, HEAD = "adapter.json", "lora", "model", "geometry.safetensors", "head"


@dataclass(frozen=True)
class AdapterConfig:
    """What is put on a vision-language model.

    Args:
        base: folder of the model, or its name.
        rank, alpha: of LoRA in every linear layer of the language part; with rank 0 all weights are trained instead,
            which suits small models.
        dropout: of LoRA's input.
        head: folder of the geometry head whose findings are told; None for no geometry tokens.
    """

    base: str
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    head: str | None = None

    def __post_init__(self) -> None:
        if self.rank < 0 or self.alpha < 1 or not 0 <= self.dropout < 1:
            raise ValueError(
                f"rank must be 0 or more, alpha 1 or more and dropout from 0 to below 1, got {self.rank}, {self.alpha}"
                f" and {self.dropout:g}"
            )


class Adapter(nn.Module):
    """See the module.

    Args:
        vlm: the model, in LoRA's wrapping of peft's where it has LoRA.
        geometry, head, head_config: soft tokens, the head and what it is made of; None together.
    """

    def __init__(
        self,
        config: AdapterConfig,
        vlm: Any,
        processor: Any,
        geometry: GeometryTokens | None = None,
        head: Model | None = None,
        head_config: ModelConfig | None = None,
    ) -> None:
        super().__init__()
        self.config, self.vlm, self.processor = config, vlm, processor
        self.geometry, self.head, self.head_config = geometry, head, head_config
        self.unit = unit_of(processor, vlm.config.model_type)

    @staticmethod
    def new(config: AdapterConfig) -> Adapter:
        """On a model that nothing has been learned for yet; fresh weights are drawn by torch's own random numbers.

        Raises:
            ImportError, ValueError: as `models.vlm_folder.load_vlm`, or if there is no head in its folder.
        """
        base, processor = load_vlm(config.base)
        if not config.rank:
            return _assembled(config, base, base, processor, config.head)
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(
            r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=language_layers(base)
        )
        return _assembled(config, base, get_peft_model(base, lora), processor, config.head)

    @staticmethod
    def load(folder: Path) -> Adapter:
        """One that was saved.

        Raises:
            ImportError, ValueError: as `new`, or if the folder holds no adapter.
        """
        from safetensors.torch import load_file

        if not (folder / SETTINGS).is_file():
            raise ValueError(f"{folder} holds no adapter: {SETTINGS} is needed, as `models.sft` writes it")
        try:
            config = AdapterConfig(**read_json(folder / SETTINGS))
        except TypeError as error:
            raise ValueError(f"{folder / SETTINGS} must have the fields of this version: {error}") from None
        base, processor = load_vlm(config.base if config.rank else str(folder / WHOLE))
        vlm = _with_lora(base, folder / LORA) if config.rank else base
        made = _assembled(config, base, vlm, processor, str(folder / HEAD) if config.head else None)
        if made.geometry is not None:
            made.geometry.load_state_dict(load_file(folder / GEOMETRY))
        return made.eval()

    def save(self, folder: Path) -> None:
        """Write what was learned, and the head; the base model stays where it is."""
        from safetensors.torch import save

        folder.mkdir(parents=True, exist_ok=True)
        if self.config.rank:
            # What reinforcement held it to lies beside, and is not ours.
            self.vlm.save_pretrained(str(folder / LORA), save_embedding_layers=False, selected_adapters=["default"])
        else:
            self._save_whole(self.vlm, folder / WHOLE)
        if self.geometry is not None and self.head is not None and self.head_config is not None:
            state = {name: value.contiguous().cpu() for name, value in self.geometry.state_dict().items()}
            write_whole(folder / GEOMETRY, save(state))
            save_model(folder / HEAD, self.head_config, self.head)
        write_whole(folder / SETTINGS, (json.dumps(asdict(self.config), indent=1) + "\n").encode())

    def save_merged(self, folder: Path) -> None:
        """Write the model with LoRA's weights added to its own: a folder that transformers loads without us.

        Its soft tokens need us: without them it knows the pictures alone.
        """
        from copy import deepcopy

        self._save_whole(deepcopy(self.vlm).merge_and_unload() if self.config.rank else self.vlm, folder)

    def _save_whole(self, model: Any, folder: Path) -> None:
        model.save_pretrained(str(folder))
        save_processor(self.config.base, folder)

    def trained(self, *, with_head: bool) -> dict[str, nn.Parameter]:
        """What is learned, by name.

        Args:
            with_head: whether the geometry head goes on learning.
        """
        return {
            name: p for name, p in self.named_parameters() if p.requires_grad and (with_head or name[:5] != "head.")
        }

    def shown(self, examples: Sequence[Example]) -> list[Shown]:
        """The pictures of each question, for the head; none without a head."""
        if self.head_config is None:
            return []
        size, found = self.head_config.image_size, []
        for one in examples:
            K = np.array(one.row[1]["transition"]["K"], np.float64)
            found.append(Shown.of([read_picture(path) for path in one.pictures], K, size))
        return found

    def _arrays(self, examples: Sequence[Example]) -> list[tuple[np.ndarray, np.ndarray]]:
        """The same as arrays: each tensor would come from a worker as an open file, of which there may be few."""
        return [(one.image.numpy(), one.K.numpy()) for one in self.shown(examples)]

    def questions(self, examples: Sequence[Example]) -> list[Question]:
        """Questions that name rows of a table by their order, where geometry is told; `tell` sets the table."""
        tells = self.geometry is not None
        return [Question.of(one, named(row) if tells else "") for row, one in enumerate(examples)]

    def found(
        self, examples: Sequence[Example], workers: int = 0, *, show: bool = False
    ) -> Float[Tensor, "n findings"] | None:
        """What the head finds in the pictures of each question, which it looks at once; None without a head.

        Args:
            workers: processes that read pictures.
            show: a progress bar.
        """
        if self.head is None or self.head_config is None:
            return None
        rows: dict[tuple[Path, ...], list[int]] = {}
        for row, one in enumerate(examples):
            rows.setdefault(one.pictures, []).append(row)
        first: Any = [examples[same[0]] for same in rows.values()]
        context = "fork" if workers else None  # the model goes along as it is
        size = at_once(*self.head_config.image_size)
        read = DataLoader(first, size, collate_fn=self._arrays, num_workers=workers, multiprocessing_context=context)
        table = torch.zeros(len(examples), FINDINGS, device=self.vlm.device)
        bar = tqdm(read, "the head looks", leave=False, disable=not show)
        shown = ([Shown(*map(torch.from_numpy, one)) for one in arrays] for arrays in bar)
        seen = chain.from_iterable(findings(self.head, some) for some in shown)
        for same, row in zip(rows.values(), seen, strict=True):
            table[same] = row
        return table

    def tell(self, found: Float[Tensor, "n findings"] | None) -> None:
        """Set the table that questions name rows of, where geometry is told."""
        if self.geometry is not None and found is not None:
            self.geometry.table = found

    def asked(self, examples: Sequence[Example]) -> list[Question]:
        """Questions in their order, and the table that they name rows of."""
        questions = self.questions(examples)
        self.tell(self.found(examples))
        return questions

    def answer(
        self, text: str, pictures: Sequence[Path], K: Float64[np.ndarray, "3 3"] | None, most_tokens: int = 64
    ) -> str:
        """One answer to a question in any words.

        Args:
            K: of the pictures, pixels; where there is no head, it is not needed.

        Raises:
            ValueError: if a head has no K.
        """
        name = ""
        if self.head is not None and self.head_config is not None:
            if K is None:
                raise ValueError("K must be given where a head looks at the pictures, got None")
            shown = Shown.of([read_picture(path) for path in pictures], K, self.head_config.image_size)
            self.tell(findings(self.head, [shown]))
            name = named(0)
        return self.answers([Question(text, tuple(pictures), name)], most_tokens)[0]

    @property
    def unspoken(self) -> list[int]:
        """Tokens that no answer has: places of pictures, and names of rows."""
        tokens = [] if self.geometry is None else self.processor.tokenizer.convert_tokens_to_ids(list(TOKENS))
        return [self.vlm.config.image_token_id, *tokens]

    @property
    def _ends(self) -> list[int]:
        """Tokens that end an answer: the model's, and the tokenizer's, which its template writes."""
        told = self.vlm.generation_config.eos_token_id
        of_model = told if isinstance(told, list) else [] if told is None else [told]
        return sorted({*of_model, self.processor.tokenizer.eos_token_id})

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy of the answers of `models.chat.encoded`."""
        return self.vlm(**batch).loss

    @torch.no_grad()
    def answers(self, questions: Sequence[Question], most_tokens: int = 64) -> list[str]:
        """The likeliest words, all questions at once."""
        batch = {name: value.to(self.vlm.device) for name, value in encoded(self.processor, questions).items()}
        made = self.vlm.generate(
            **batch,
            max_new_tokens=most_tokens,
            do_sample=False,
            suppress_tokens=self.unspoken,
            eos_token_id=self._ends,
        )
        said = self.processor.tokenizer.batch_decode(made[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        return [text.strip() for text in said]


def _with_lora(base: Any, folder: Path) -> Any:
    from peft import PeftModel

    return PeftModel.from_pretrained(base, str(folder), is_trainable=True)


def language_layers(model: Any) -> str:
    """The linear layers of a model's language part, as a regular expression of their names."""
    decoder = model.get_decoder()
    (name,) = {name for name, module in model.named_modules() if module is decoder}
    kinds = {inner.rsplit(".", 1)[-1] for inner, module in decoder.named_modules() if isinstance(module, nn.Linear)}
    return rf"{re.escape(name)}\..*\.({'|'.join(map(re.escape, sorted(kinds)))})"


def _assembled(config: AdapterConfig, base: Any, vlm: Any, processor: Any, head: str | None) -> Adapter:
    if head is None:
        return Adapter(config, vlm, processor)
    head_config, model = load_model(Path(head))
    processor.tokenizer.add_special_tokens({"additional_special_tokens": list(TOKENS)})
    embedding = base.get_input_embeddings()
    geometry = GeometryTokens(embedding.weight.shape[1], processor.tokenizer.convert_tokens_to_ids(TOKENS[0]))
    geometry.attach(embedding)
    return Adapter(config, vlm, processor, geometry, model, head_config)
