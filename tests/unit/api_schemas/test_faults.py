"""Codes and statuses are the service model's, for every error it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.loaders import Loader

from api_schemas import faults
from api_schemas.faults import AlreadyExists, Fault, Named, NotFound, QuotaExceeded

MODEL: dict[str, Any] = Loader().load_service_model("elasticache", "service-2", "2015-02-02")
ERRORS = {name: shape["error"] for name, shape in MODEL["shapes"].items() if shape.get("exception")}
FAMILIES = {Fault, Named, NotFound, AlreadyExists, QuotaExceeded}
OURS = {"AccessKeyNotFound", "OperationNotBuilt", "ResourceNotFound", "FaultNotFound", "JoinTokenNotFound", "AgentNotFound", "MethodNotAllowed"}
# What every service of this protocol may answer, as the public list of common errors has it.
COMMON = {
    "InvalidAction": ("InvalidAction", 400),
    "MissingAction": ("MissingAction", 400),
    "MissingParameter": ("MissingParameter", 400),
    "MalformedQueryString": ("MalformedQueryString", 400),
    "RequestEntityTooLarge": ("RequestEntityTooLarge", 413),
    "AccessDenied": ("AccessDenied", 403),
    "SignatureDoesNotMatch": ("SignatureDoesNotMatch", 403),
    "InvalidClientTokenId": ("InvalidClientTokenId", 403),
    "MissingAuthenticationToken": ("MissingAuthenticationToken", 403),
    "IncompleteSignature": ("IncompleteSignature", 400),
    "RequestExpired": ("RequestExpired", 400),
    "Throttling": ("Throttling", 400),
    "ServiceUnavailable": ("ServiceUnavailable", 503),
    "InternalFailure": ("InternalFailure", 500),
}


def name_for(shape: str) -> str:
    """Our class for an error shape. Nothing of ours may be called Test..., which pytest would collect."""
    name = shape.removesuffix("Fault").removesuffix("Exception")
    return "FailoverTestNotAvailable" if name == "TestFailoverNotAvailable" else name


def classes() -> Iterator[type[Fault]]:
    """Every fault that can be raised: the module's classes but for the families."""
    for value in vars(faults).values():
        if isinstance(value, type) and issubclass(value, Fault) and value not in FAMILIES:
            yield value


@pytest.mark.parametrize("shape", sorted(ERRORS))
def test_every_error_of_the_model_has_a_class_with_its_code_and_status(shape: str) -> None:
    fault = getattr(faults, name_for(shape))
    assert (fault.code, fault.status) == (ERRORS[shape].get("code", shape), ERRORS[shape]["httpStatusCode"])


@pytest.mark.parametrize("name", sorted(COMMON))
def test_common_errors_have_their_code_and_status(name: str) -> None:
    fault = getattr(faults, name)
    assert (fault.code, fault.status) == COMMON[name]


@pytest.mark.parametrize("fault", list(classes()), ids=lambda fault: fault.__name__)
def test_every_class_is_an_error_of_the_model_or_a_common_one_or_ours(fault: type[Fault]) -> None:
    assert fault.__name__ in {name_for(shape) for shape in ERRORS} | COMMON.keys() | OURS
    assert "code" in vars(fault)
    assert "status" in vars(fault)


def test_no_two_classes_share_a_code() -> None:
    codes = [fault.code for fault in classes()]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("fault", [c for c in classes() if issubclass(c, Named)], ids=lambda fault: fault.__name__)
def test_a_named_fault_takes_a_name_or_a_whole_sentence(fault: type[Named]) -> None:
    assert "{" not in fault("orders").message
    assert ("orders" in fault("orders").message) == ("{id}" in fault.says)
    assert fault(message="Another {sentence}").message == "Another {sentence}"


@pytest.mark.parametrize("fault", [c for c in classes() if issubclass(c, QuotaExceeded)], ids=lambda fault: fault.__name__)
def test_a_quota_fault_takes_the_limit(fault: type[QuotaExceeded]) -> None:
    assert "says" in vars(fault)
    assert ("77" in fault(77).message) == ("{limit}" in fault.says)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (faults.CacheClusterNotFound("orders-001"), "CacheCluster not found: orders-001"),
        (faults.ReplicationGroupNotFound("orders"), "ReplicationGroup orders not found"),
        (faults.UserNotFound("ann"), "User ann not found."),
        (faults.UserAlreadyExists("ann"), "User ann already exists."),
        (faults.CacheSubnetGroupInUse("inner"), "Cache subnet group inner is currently in use by a cache cluster"),
        (
            faults.NodeQuotaForClusterExceeded(90),
            "Cluster node quota exceeded. Each cluster can have at most 90 nodes in this region.",
        ),
        (faults.NodeQuotaForCustomerExceeded(300), "Customer node quota exceeded. You can have at most 300 nodes in this region"),
        (
            faults.SnapshotQuotaExceeded(24),
            "The maximum number of manual snapshots for this cluster taken within 24 hours has been reached",
        ),
        (faults.InvalidAction("Fly"), "The action Fly is not valid for this web service."),
        (faults.Throttling(), "Rate exceeded"),
        (
            faults.OperationNotBuilt("StartMigration"),
            "StartMigration is not built yet in Cachewright. Nothing was changed. "
            "See docs/operations.md for the operations that are.",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Fault) else "",
)
def test_fixed_sentences(fault: Fault, message: str) -> None:
    assert (fault.message, str(fault)) == (message, message)
