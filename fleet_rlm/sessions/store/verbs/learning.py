"""Feedback on runs, and the datasets quality is measured on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import delete, func, or_, select
from sqlalchemy.exc import IntegrityError

from fleet_rlm.core.errors import UserError
from fleet_rlm.sessions.store.errors import NameTaken, NotFound
from fleet_rlm.sessions.store.page import LIMIT, MOST, Page
from fleet_rlm.sessions.store.tables import Dataset, Example, Feedback
from fleet_rlm.sessions.store.unit import Unit
from fleet_rlm.sessions.store.verbs.base import Verbs, blocking, named, new_id, verb
from fleet_rlm.sessions.store.verbs.runs import found as found_run

_FIELDS = {"input", "expected", "metadata"}


class Feedbacks(Verbs):
    """What one user says of their runs."""

    @verb
    async def agive(
        self,
        run: str,
        name: str,
        value: Any,
        *,
        comment: str | None = None,
        expected: Any = None,
        span: str | None = None,
    ) -> Feedback:
        """Judge a run, or one of its spans.

        Raises:
            NotFound: there is no such run.
        """
        given = Feedback(
            id=new_id(),
            run_id=run,
            span=span,
            name=named("judgement", name),
            value=value,
            comment=comment,
            expected=expected,
        )
        async with self._write() as unit:
            await found_run(unit, run)
            await unit.insert(given)
        return given

    @verb
    async def alist(self, run: str | None = None, *, limit: int = LIMIT, offset: int = 0) -> Page[Feedback]:
        """Judgements of one run or of all, the latest first."""
        query = select(Feedback)
        if run is not None:
            query = query.where(Feedback.run_id == run)
        async with self._read() as unit:
            return await unit.page(query, limit, offset, (Feedback.created_at.desc(), Feedback.id))

    give = blocking(agive)
    list = blocking(alist)


class Datasets(Verbs):
    """The datasets of a tenant; `key` is an id or a name.

    An example is a mapping with `input`, and perhaps `expected` and `metadata`.
    """

    @verb
    async def acreate(
        self,
        name: str,
        examples: Iterable[Mapping[str, Any]] = (),
        *,
        description: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Dataset:
        """A new dataset.

        Raises:
            NameTaken: the tenant has one of this name.
            UserError: an example is not of the form above.
        """
        made = Dataset(
            id=new_id(),
            name=named("dataset", name),
            description=description,
            created_by=self.identity.user,
            meta=metadata or {},
        )
        rows = _examples(made.id, examples, 0)
        async with self._write() as unit:
            try:
                await unit.insert(made)
            except IntegrityError as error:
                raise NameTaken(f"there is a dataset {name!r}; take another name, or delete that one") from error
            await unit.insert(*rows)
        return made

    @verb
    async def aadd(self, key: str, examples: Iterable[Mapping[str, Any]]) -> int:
        """Add examples at the end; returns how many the dataset has then.

        Raises:
            NotFound: there is no such dataset.
            UserError: an example is not of the form above.
        """
        async with self._write() as unit:
            dataset = await _found(unit, key, locked=True)
            size = await _size(unit, dataset)
            rows = _examples(dataset.id, examples, size)
            await unit.insert(*rows)
            return size + len(rows)

    @verb
    async def aget(self, key: str) -> Dataset:
        """One dataset, without its examples.

        Raises:
            NotFound: there is none.
        """
        async with self._read() as unit:
            return await _found(unit, key)

    @verb
    async def alist(self, *, search: str | None = None, limit: int = LIMIT, offset: int = 0) -> Page[Dataset]:
        """Datasets by name; `search` is a part of it."""
        query = select(Dataset)
        if search:
            query = query.where(Dataset.name.icontains(search, autoescape=True))
        async with self._read() as unit:
            return await unit.page(query, limit, offset, (Dataset.name,))

    @verb
    async def aexamples(self, key: str, *, limit: int = MOST, offset: int = 0) -> Page[Example]:
        """The examples of a dataset, in order.

        Raises:
            NotFound: there is no such dataset.
        """
        async with self._read() as unit:
            dataset = await _found(unit, key)
            return await unit.page(
                select(Example).where(Example.dataset_id == dataset.id), limit, offset, (Example.index,)
            )

    @verb
    async def adelete(self, key: str) -> None:
        """Delete a dataset with its examples, for good.

        Raises:
            NotFound: there is no such dataset.
        """
        async with self._write() as unit:
            dataset = await _found(unit, key)
            await unit.change(delete(Dataset).where(Dataset.id == dataset.id))

    create = blocking(acreate)
    add = blocking(aadd)
    get = blocking(aget)
    list = blocking(alist)
    examples = blocking(aexamples)
    delete = blocking(adelete)


def _examples(dataset: str, examples: Iterable[Mapping[str, Any]], first: int) -> list[Example]:
    rows = []
    for index, example in enumerate(examples, first):
        if not isinstance(example, Mapping) or "input" not in example or set(example) - _FIELDS:
            raise UserError(f"example {index} must be a mapping with input, and perhaps expected and metadata")
        meta = dict(example.get("metadata") or {})
        rows.append(
            Example(
                dataset_id=dataset, index=index, input=example["input"], expected=example.get("expected"), meta=meta
            )
        )
    return rows


async def _found(unit: Unit, key: str, locked: bool = False) -> Dataset:
    query = select(Dataset).where(or_(Dataset.id == key, Dataset.name == key)).order_by((Dataset.id == key).desc())
    dataset = await unit.first(query.with_for_update() if locked else query)
    if dataset is None:
        raise NotFound("dataset", key)
    return dataset


async def _size(unit: Unit, dataset: Dataset) -> int:
    return await unit.first(select(func.count(Example.index)).where(Example.dataset_id == dataset.id)) or 0
