"""Service updates: none is ever issued here, so none is listed, applied or stopped."""

from __future__ import annotations

from api_schemas.faults import ServiceUpdateNotFound
from api_schemas.paging import page
from api_schemas.service_update import (
    BATCH_APPLY_UPDATE_ACTION,
    BATCH_STOP_UPDATE_ACTION,
    DESCRIBE_SERVICE_UPDATES,
    DESCRIBE_UPDATE_ACTIONS,
    BatchApplyUpdateAction,
    BatchStopUpdateAction,
    DescribeServiceUpdates,
    DescribeUpdateActions,
    ServiceUpdate,
    ServiceUpdates,
    UpdateAction,
    UpdateActionResults,
    UpdateActions,
)
from controlplane.operations.context import Context
from controlplane.operations.performs import performs


@performs(DESCRIBE_SERVICE_UPDATES)
def describe_service_updates(ctx: Context, asked: DescribeServiceUpdates) -> ServiceUpdates:
    """Show that there is none."""
    if asked.service_update_name:
        raise ServiceUpdateNotFound(asked.service_update_name)
    none: list[ServiceUpdate] = []
    shown, marker = page(none, asked)
    return ServiceUpdates(marker=marker, service_updates=shown)


@performs(DESCRIBE_UPDATE_ACTIONS)
def describe_update_actions(ctx: Context, asked: DescribeUpdateActions) -> UpdateActions:
    """Show that there is none. A name only filters here: the service model has no NotFound for this operation."""
    none: list[UpdateAction] = []
    shown, marker = page(none, asked)
    return UpdateActions(marker=marker, update_actions=shown)


@performs(BATCH_APPLY_UPDATE_ACTION)
def batch_apply_update_action(ctx: Context, asked: BatchApplyUpdateAction) -> UpdateActionResults:
    """Say that there is no such service update."""
    raise ServiceUpdateNotFound(asked.service_update_name)


@performs(BATCH_STOP_UPDATE_ACTION)
def batch_stop_update_action(ctx: Context, asked: BatchStopUpdateAction) -> UpdateActionResults:
    """Say that there is no such service update."""
    raise ServiceUpdateNotFound(asked.service_update_name)
