"""A resource as Terraform treats it: applied to a configuration, refreshed, planned, destroyed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from integration.terraform.lookup import NotThere
from integration.terraform.tags import list_tags, tag_list, update_tags

Config = Mapping[str, Any]
State = dict[str, Any]


def equal(wanted: Any, present: Any) -> bool:
    """The same value. As in Terraform, no value and the empty value of its type are the same."""
    return (wanted or None) == (present or None)


def equal_in_lower_case(wanted: str | None, present: str | None) -> bool:
    """The same text once the provider has put what is configured into lower case, because the service does."""
    return (wanted or "").lower() == (present or "")


def equal_as_sets(wanted: Any, present: Any) -> bool:
    """The same elements; their order has no meaning."""
    return frozenset(wanted or ()) == frozenset(present or ())


@dataclass(frozen=True)
class Attribute:
    """An argument of a resource: how what is configured is compared with what Read stored."""

    computed: bool = False
    """When it is left out, whatever the service chose is right."""

    forces_new: bool = False
    """A difference means that the resource is destroyed and made again."""

    default: Any = None
    read_back: bool = True
    """When false, the state holds what was configured; no Read ever touches it."""

    same: Callable[[Any, Any], bool] = equal


@dataclass(frozen=True)
class Change:
    """One line of a plan."""

    present: Any
    wanted: Any
    replaces: bool


Plan = dict[str, Change]


class Resource(ABC):
    """One resource and its state. ``id`` is empty while it does not exist, as far as Terraform knows."""

    schema: ClassVar[Mapping[str, Attribute]]

    def __init__(self, client: Any) -> None:
        self.client = client
        self.id = ""
        self.state: State = {}

    @classmethod
    def imported(cls, client: Any, name: str) -> Self:
        """A resource of which only the id is known, as after ``terraform import``."""
        resource = cls(client)
        resource.id = name
        return resource

    @classmethod
    def readable(cls, config: Config) -> Config:
        """What an import finds out of a configuration: what is read back, though not that a version was asked for as ``6.x``."""
        vague = {"engine_version"} if str(config.get("engine_version")).endswith(".x") else set()
        return {name: value for name, value in config.items() if cls.schema[name].read_back and name not in vague}

    @classmethod
    def applied(cls, client: Any, config: Config) -> Self:
        """A resource that has been applied and has an empty plan, even for who knows no more than its id."""
        resource = cls(client)
        resource.apply(config)
        plan = resource.plan(config)
        assert plan == {}, f"planned again right after the apply: {plan}"
        plan = cls.imported(client, resource.id).plan(cls.readable(config))
        assert plan == {}, f"planned after an import: {plan}"
        return resource

    def apply(self, config: Config) -> Plan:
        """Refresh, plan, and do what the plan says. The state is read anew in the end. Answers the plan that was carried out."""
        plan = self.plan(config)
        if self.id and any(change.replaces for change in plan.values()):
            self.destroy()
        if not self.id:
            self._created(config)
        elif plan:
            self._updated(config, plan)
        return plan

    def plan(self, config: Config) -> Plan:
        """What an apply would change: empty when the service shows what is configured."""
        assert set(config) <= set(self.schema), f"not in the schema: {set(config) - set(self.schema)}"
        if self.id:
            self._refresh(self.state)
        changes = {name: self._change(name, config) for name in self.schema}
        return {name: change for name, change in changes.items() if change is not None}

    def destroy(self) -> None:
        """The resource is gone."""
        self.delete()
        self.id, self.state = "", {}

    def asked(self, config: Config, name: str) -> Any:
        """What the configuration says, or the default of the schema, or None."""
        return config.get(name, self.schema[name].default)

    @abstractmethod
    def create(self, config: Config, tags: list[dict[str, str]]) -> str:
        """Ask for the resource and wait until it is usable. Answers its id."""

    @abstractmethod
    def read(self, config: Config) -> State:
        """What the service shows, with ``arn``. Raises NotThere."""

    @abstractmethod
    def update(self, config: Config, plan: Plan) -> None:
        """Carry out a plan that has no tags in it and replaces nothing."""

    @abstractmethod
    def delete(self) -> None:
        """Delete the resource and wait until it is gone. One that is gone already is no error."""

    def _change(self, name: str, config: Config) -> Change | None:
        attribute = self.schema[name]
        wanted = self.asked(config, name)
        if wanted is None and attribute.computed and self.id:
            return None
        present = self.state.get(name)
        if attribute.same(wanted, present):
            return None
        return Change(present, wanted, attribute.forces_new and bool(self.id))

    def _created(self, config: Config) -> None:
        self.id = self.create(config, tag_list(config.get("tags") or {}))
        self._read(config)

    def _updated(self, config: Config, plan: Plan) -> None:
        if "tags" in plan:
            update_tags(self.client, self.state["arn"], self.state["tags"], config.get("tags") or {})
        if rest := {name: change for name, change in plan.items() if name != "tags"}:
            self.update(config, rest)
        self._read(config)

    def _refresh(self, config: Config) -> None:
        try:
            self._read(config)
        except NotThere:
            self.id, self.state = "", {}

    def _read(self, config: Config) -> None:
        kept = {name: config.get(name) for name, attribute in self.schema.items() if not attribute.read_back}
        state = self.read(config)
        self.state = {**state, **kept, "tags": list_tags(self.client, state["arn"])}
