"""Requests, results, parts and promises of service updates. None is issued here: engines are for their host's owner to update."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from api_schemas.operation import NOTHING, Operation
from api_schemas.paging import Paged
from api_schemas.shape import Shape

ServiceUpdateStatus = Literal["available", "cancelled", "expired"]
UpdateActionStatus = Literal[
    "not-applied",
    "waiting-to-start",
    "in-progress",
    "stopping",
    "stopped",
    "complete",
    "scheduling",
    "scheduled",
    "not-applicable",
]
Ids = Annotated[list[str], Field(max_length=20)]
ServiceUpdateStatuses = Annotated[list[ServiceUpdateStatus], Field(max_length=3)]


class DescribeServiceUpdates(Paged):
    """Which service updates to show: one by name, or all, or those of a status."""

    service_update_name: str | None = None
    service_update_status: ServiceUpdateStatuses = Field(default_factory=list)


class TimeRange(Shape):
    """A span of time."""

    start_time: AwareDatetime | None = None
    end_time: AwareDatetime | None = None


class DescribeUpdateActions(Paged):
    """Which update actions to show: those that match everything given."""

    service_update_name: str | None = None
    replication_group_ids: Ids = Field(default_factory=list)
    cache_cluster_ids: Ids = Field(default_factory=list)
    engine: str | None = None
    service_update_status: ServiceUpdateStatuses = Field(default_factory=list)
    service_update_time_range: TimeRange | None = None
    update_action_status: Annotated[list[UpdateActionStatus], Field(max_length=9)] = Field(default_factory=list)
    show_node_level_update_status: bool | None = None


class BatchUpdateAction(Shape):
    """Which service update, and the caches it is about."""

    service_update_name: str
    replication_group_ids: Ids = Field(default_factory=list)
    cache_cluster_ids: Ids = Field(default_factory=list)


class BatchApplyUpdateAction(BatchUpdateAction):
    """Which service update shall be applied to which caches."""


class BatchStopUpdateAction(BatchUpdateAction):
    """Which service update shall not be applied any further to which caches."""


class ServiceUpdate(Shape):
    """A service update."""

    service_update_name: str
    service_update_release_date: datetime
    service_update_status: str


class UpdateAction(Shape):
    """A service update as it concerns one cache."""

    replication_group_id: str | None = None
    cache_cluster_id: str | None = None
    service_update_name: str
    update_action_status: str


class ProcessedUpdateAction(UpdateAction):
    """An update action that was begun or stopped."""


class UnprocessedUpdateAction(Shape):
    """An update action that was not begun or stopped, and why."""

    replication_group_id: str | None = None
    cache_cluster_id: str | None = None
    service_update_name: str
    error_type: str
    error_message: str


class ServiceUpdates(Shape):
    """A page of service updates."""

    marker: str | None = None
    service_updates: list[ServiceUpdate]


class UpdateActions(Shape):
    """A page of update actions."""

    marker: str | None = None
    update_actions: list[UpdateAction]


class UpdateActionResults(Shape):
    """What became of each update action."""

    processed_update_actions: list[ProcessedUpdateAction]
    unprocessed_update_actions: list[UnprocessedUpdateAction]


DESCRIBE_SERVICE_UPDATES = Operation(
    "DescribeServiceUpdates", "GET /service-updates", DescribeServiceUpdates, ServiceUpdates,
    "Show the service updates: none is issued here.",
    reads=True,
)  # fmt: skip
DESCRIBE_UPDATE_ACTIONS = Operation(
    "DescribeUpdateActions", "GET /update-actions", DescribeUpdateActions, UpdateActions,
    "Show how service updates concern caches: none does.",
    reads=True,
)  # fmt: skip
BATCH_APPLY_UPDATE_ACTION = Operation(
    "BatchApplyUpdateAction", "POST /service-updates/{service_update_name}/apply", BatchApplyUpdateAction, UpdateActionResults,
    "Apply a service update to caches; there is none to apply.",
    in_engines=NOTHING,
)  # fmt: skip
BATCH_STOP_UPDATE_ACTION = Operation(
    "BatchStopUpdateAction", "POST /service-updates/{service_update_name}/stop", BatchStopUpdateAction, UpdateActionResults,
    "Stop applying a service update to caches; there is none to stop.",
    in_engines=NOTHING,
)  # fmt: skip
