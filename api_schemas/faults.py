"""Every way a request can fail, by the class of its answer.

Fault                                   a code, an HTTP status and a message; most take the message
├── Invalid...                          a value, combination or state that does not allow the request
├── Named                               the sentence is fixed but for a name: takes the name, or ``message=`` for another sentence
│   ├── NotFound                        there is no such resource; takes its id
│   └── AlreadyExists                   there already is such a resource; takes its id
├── QuotaExceeded                       a limit would be passed; takes the limit
└── MissingAction, AccessDenied, ...    what every service of this protocol may answer

A class is named as its error in the service model without a trailing Fault or Exception; ``code`` and ``status`` are
the model's, which follow no rule. Whoever finds a problem raises one of these; only the doors know how it is written out.
"""

from __future__ import annotations

from typing import ClassVar

LONGEST_ID = 512  # characters of an id that a sentence repeats; ids are at most about half of it


class Fault(Exception):
    """A refused or failed request. ``code`` is what SDKs look at, ``message`` is a sentence for people."""

    code: ClassVar[str] = "InternalFailure"
    status: ClassVar[int] = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Named(Fault):
    """A fault with a fixed sentence, ``says``, in which ``{id}`` stands for what it is about."""

    says: ClassVar[str] = "{id}"

    def __init__(self, id: str = "", *, message: str | None = None) -> None:
        shown = id if len(id) <= LONGEST_ID else f"{id[:LONGEST_ID]}..."
        super().__init__(self.says.format(id=shown) if message is None else message)


class NotFound(Named):
    """There is no resource with this id."""

    status = 404


class AlreadyExists(Named):
    """There already is a resource with this id."""


class QuotaExceeded(Fault):
    """The request would pass a limit. ``says`` may show it as ``{limit}``."""

    says: ClassVar[str] = "The quota of {limit} is exceeded."

    def __init__(self, limit: int) -> None:
        super().__init__(self.says.format(limit=limit))


# The layout below is a table: one class, one row, so that codes and statuses can be read down the page.
# fmt: off

# ---- What was asked for -------------------------------------------------------------------------------------------------
class InvalidParameterValue(Fault):
    code, status = "InvalidParameterValue", 400
class InvalidParameterCombination(Fault):
    code, status = "InvalidParameterCombination", 400
class InvalidARN(Fault):
    code, status = "InvalidARN", 400
class InvalidKMSKey(Fault):
    code, status = "InvalidKMSKeyFault", 400
class InvalidCredentials(Fault):
    code, status = "InvalidCredentialsException", 408
class NoOperation(Fault):
    code, status = "NoOperationFault", 400

# ---- Cache clusters and nodes -------------------------------------------------------------------------------------------
class CacheClusterNotFound(NotFound):
    code, status, says = "CacheClusterNotFound", 404, "CacheCluster not found: {id}"
class CacheClusterAlreadyExists(AlreadyExists):
    code, status, says = "CacheClusterAlreadyExists", 400, "Cache cluster {id} already exists."
class InvalidCacheClusterState(Fault):
    code, status = "InvalidCacheClusterState", 400
class InsufficientCacheClusterCapacity(Fault):
    code, status = "InsufficientCacheClusterCapacity", 400
class ClusterQuotaForCustomerExceeded(QuotaExceeded):
    code, status = "ClusterQuotaForCustomerExceeded", 400
    says = "Customer cluster quota exceeded. You can have at most {limit} clusters in this region"
class NodeQuotaForClusterExceeded(QuotaExceeded):
    code, status = "NodeQuotaForClusterExceeded", 400
    says = "Cluster node quota exceeded. Each cluster can have at most {limit} nodes in this region."
class NodeQuotaForCustomerExceeded(QuotaExceeded):
    code, status = "NodeQuotaForCustomerExceeded", 400
    says = "Customer node quota exceeded. You can have at most {limit} nodes in this region"

# ---- Replication groups -------------------------------------------------------------------------------------------------
class ReplicationGroupNotFound(NotFound):
    code, status, says = "ReplicationGroupNotFoundFault", 404, "ReplicationGroup {id} not found"
class ReplicationGroupAlreadyExists(AlreadyExists):
    code, status, says = "ReplicationGroupAlreadyExists", 400, "Replication group {id} already exists."
class InvalidReplicationGroupState(Fault):
    code, status = "InvalidReplicationGroupState", 400
class NodeGroupNotFound(NotFound):
    code, status, says = "NodeGroupNotFoundFault", 404, "Node group {id} not found."
class NodeGroupsPerReplicationGroupQuotaExceeded(QuotaExceeded):
    code, status = "NodeGroupsPerReplicationGroupQuotaExceeded", 400
    says = "Node group quota exceeded. Each replication group can have at most {limit} node groups."
class FailoverTestNotAvailable(Fault):
    code, status = "TestFailoverNotAvailableFault", 400
class ReplicationGroupAlreadyUnderMigration(Named):
    code, status, says = "ReplicationGroupAlreadyUnderMigrationFault", 400, "Replication group {id} is already under migration."
class ReplicationGroupNotUnderMigration(Named):
    code, status, says = "ReplicationGroupNotUnderMigrationFault", 400, "Replication group {id} is not under migration."
class MigrationHealth(Fault):
    code, status = "MigrationHealthFault", 400

# ---- Global replication groups ------------------------------------------------------------------------------------------
class GlobalReplicationGroupNotFound(NotFound):
    code, status, says = "GlobalReplicationGroupNotFoundFault", 404, "Global replication group {id} not found."
class GlobalReplicationGroupAlreadyExists(AlreadyExists):
    code, status, says = "GlobalReplicationGroupAlreadyExistsFault", 400, "Global replication group {id} already exists."
class InvalidGlobalReplicationGroupState(Fault):
    code, status = "InvalidGlobalReplicationGroupState", 400

# ---- Parameter groups ---------------------------------------------------------------------------------------------------
class CacheParameterGroupNotFound(NotFound):
    code, status, says = "CacheParameterGroupNotFound", 404, "CacheParameterGroup {id} not found."
class CacheParameterGroupAlreadyExists(AlreadyExists):
    code, status, says = "CacheParameterGroupAlreadyExists", 400, "Cache parameter group {id} already exists."
class InvalidCacheParameterGroupState(Fault):
    code, status = "InvalidCacheParameterGroupState", 400
class CacheParameterGroupQuotaExceeded(QuotaExceeded):
    code, status = "CacheParameterGroupQuotaExceeded", 400
    says = "Cache parameter group quota exceeded. You can have at most {limit} cache parameter groups in this region."

# ---- Subnet groups, security groups and the network ----------------------------------------------------------------------
class CacheSubnetGroupNotFound(NotFound):
    code, status, says = "CacheSubnetGroupNotFoundFault", 400, "Cache subnet group {id} not found."
class CacheSubnetGroupAlreadyExists(AlreadyExists):
    code, status, says = "CacheSubnetGroupAlreadyExists", 400, "Cache subnet group {id} already exists."
class CacheSubnetGroupInUse(Named):
    code, status, says = "CacheSubnetGroupInUse", 400, "Cache subnet group {id} is currently in use by a cache cluster"
class CacheSubnetGroupQuotaExceeded(QuotaExceeded):
    code, status = "CacheSubnetGroupQuotaExceeded", 400
    says = "Cache subnet group quota exceeded. You can have at most {limit} cache subnet groups in this region."
class CacheSubnetQuotaExceeded(QuotaExceeded):
    code, status = "CacheSubnetQuotaExceededFault", 400
    says = "Cache subnet quota exceeded. Each cache subnet group can have at most {limit} subnets."
class InvalidSubnet(Fault):
    code, status = "InvalidSubnet", 400
class SubnetInUse(Named):
    code, status, says = "SubnetInUse", 400, "Subnet {id} is currently in use by a cache cluster."
class SubnetNotAllowed(Fault):
    code, status = "SubnetNotAllowedFault", 400
class InvalidVPCNetworkState(Fault):
    code, status = "InvalidVPCNetworkStateFault", 400
class CacheSecurityGroupNotFound(NotFound):
    code, status, says = "CacheSecurityGroupNotFound", 404, "CacheSecurityGroup {id} not found."
class CacheSecurityGroupAlreadyExists(AlreadyExists):
    code, status, says = "CacheSecurityGroupAlreadyExists", 400, "Cache security group {id} already exists."
class InvalidCacheSecurityGroupState(Fault):
    code, status = "InvalidCacheSecurityGroupState", 400
class CacheSecurityGroupQuotaExceeded(QuotaExceeded):
    code, status = "QuotaExceeded.CacheSecurityGroup", 400
    says = "Cache security group quota exceeded. You can have at most {limit} cache security groups in this region."
class AuthorizationNotFound(NotFound):
    code, status, says = "AuthorizationNotFound", 404, "There is no authorization for security group {id}."
class AuthorizationAlreadyExists(AlreadyExists):
    code, status, says = "AuthorizationAlreadyExists", 400, "Security group {id} is already authorized."

# ---- Snapshots ----------------------------------------------------------------------------------------------------------
class SnapshotNotFound(NotFound):
    code, status, says = "SnapshotNotFoundFault", 404, "Snapshot {id} not found."
class SnapshotAlreadyExists(AlreadyExists):
    code, status, says = "SnapshotAlreadyExistsFault", 400, "Snapshot {id} already exists."
class InvalidSnapshotState(Fault):
    code, status = "InvalidSnapshotState", 400
class SnapshotFeatureNotSupported(Fault):
    code, status = "SnapshotFeatureNotSupportedFault", 400
class SnapshotQuotaExceeded(QuotaExceeded):
    code, status = "SnapshotQuotaExceededFault", 400
    says = "The maximum number of manual snapshots for this cluster taken within 24 hours has been reached"

# ---- Users and user groups ----------------------------------------------------------------------------------------------
class UserNotFound(NotFound):
    code, status, says = "UserNotFound", 404, "User {id} not found."
class UserAlreadyExists(AlreadyExists):
    code, status, says = "UserAlreadyExists", 400, "User {id} already exists."
class InvalidUserState(Fault):
    code, status = "InvalidUserState", 400
class UserQuotaExceeded(QuotaExceeded):
    code, status, says = "UserQuotaExceeded", 400, "User quota exceeded. You can have at most {limit} users in this region."
class DuplicateUserName(Fault):
    code, status = "DuplicateUserName", 400
class DefaultUserRequired(Fault):
    code, status = "DefaultUserRequired", 400
class DefaultUserAssociatedToUserGroup(Fault):
    code, status = "DefaultUserAssociatedToUserGroup", 400
class UserGroupNotFound(NotFound):
    code, status, says = "UserGroupNotFound", 404, "User group {id} not found."
class UserGroupAlreadyExists(AlreadyExists):
    code, status, says = "UserGroupAlreadyExists", 400, "User group {id} already exists."
class InvalidUserGroupState(Fault):
    code, status = "InvalidUserGroupState", 400
class UserGroupQuotaExceeded(QuotaExceeded):
    code, status = "UserGroupQuotaExceeded", 400
    says = "User group quota exceeded. You can have at most {limit} user groups in this region."

# ---- Tags ---------------------------------------------------------------------------------------------------------------
class TagNotFound(NotFound):
    code, status, says = "TagNotFound", 404, "Tag {id} not found."
class TagQuotaPerResourceExceeded(QuotaExceeded):
    code, status = "TagQuotaPerResourceExceeded", 400
    says = "Tag quota exceeded. Each resource can have at most {limit} tags."

# ---- Serverless caches --------------------------------------------------------------------------------------------------
class ServerlessCacheNotFound(NotFound):
    code, status, says = "ServerlessCacheNotFoundFault", 404, "Serverless cache {id} not found."
class ServerlessCacheAlreadyExists(AlreadyExists):
    code, status, says = "ServerlessCacheAlreadyExistsFault", 400, "Serverless cache {id} already exists."
class InvalidServerlessCacheState(Fault):
    code, status = "InvalidServerlessCacheStateFault", 400
class ServerlessCacheQuotaForCustomerExceeded(QuotaExceeded):
    code, status = "ServerlessCacheQuotaForCustomerExceededFault", 400
    says = "Serverless cache quota exceeded. You can have at most {limit} serverless caches in this region."
class ServerlessCacheAlreadyUnderMigration(Named):
    code, status, says = "ServerlessCacheAlreadyUnderMigrationFault", 400, "Serverless cache {id} is already under migration."
class ServerlessCacheNotUnderMigration(Named):
    code, status, says = "ServerlessCacheNotUnderMigrationFault", 400, "Serverless cache {id} is not under migration."
class ServerlessCacheSnapshotNotFound(NotFound):
    code, status, says = "ServerlessCacheSnapshotNotFoundFault", 404, "Serverless cache snapshot {id} not found."
class ServerlessCacheSnapshotAlreadyExists(AlreadyExists):
    code, status, says = "ServerlessCacheSnapshotAlreadyExistsFault", 400, "Serverless cache snapshot {id} already exists."
class InvalidServerlessCacheSnapshotState(Fault):
    code, status = "InvalidServerlessCacheSnapshotStateFault", 400
class ServerlessCacheSnapshotQuotaExceeded(QuotaExceeded):
    code, status = "ServerlessCacheSnapshotQuotaExceededFault", 400
    says = "Serverless cache snapshot quota exceeded. You can have at most {limit} serverless cache snapshots."

# ---- Reserved nodes, service updates, the account -------------------------------------------------------------------------
class ReservedCacheNodeNotFound(NotFound):
    code, status, says = "ReservedCacheNodeNotFound", 404, "Reserved cache node {id} not found."
class ReservedCacheNodeAlreadyExists(AlreadyExists):
    code, status, says = "ReservedCacheNodeAlreadyExists", 404, "Reserved cache node {id} already exists."
class ReservedCacheNodeQuotaExceeded(QuotaExceeded):
    code, status = "ReservedCacheNodeQuotaExceeded", 400
    says = "Reserved cache node quota exceeded. You can have at most {limit} reserved cache nodes in this region."
class ReservedCacheNodesOfferingNotFound(NotFound):
    code, status, says = "ReservedCacheNodesOfferingNotFound", 404, "Reserved cache nodes offering {id} not found."
class ServiceUpdateNotFound(NotFound):
    code, status, says = "ServiceUpdateNotFoundFault", 404, "Service update {id} not found."
class ServiceLinkedRoleNotFound(NotFound):
    code, status, says = "ServiceLinkedRoleNotFoundFault", 400, "Service linked role {id} not found."
class APICallRateForCustomerExceeded(Fault):
    code, status = "APICallRateForCustomerExceeded", 400

# ---- What every service of this protocol may answer ---------------------------------------------------------------------
class InvalidAction(Named):
    code, status, says = "InvalidAction", 400, "The action {id} is not valid for this web service."
class MissingAction(Named):
    code, status, says = "MissingAction", 400, "The request must contain the parameter Action"
class MissingParameter(Named):
    code, status, says = "MissingParameter", 400, "The request must contain the parameter {id}"
class MalformedQueryString(Fault):
    code, status = "MalformedQueryString", 400
class RequestEntityTooLarge(Fault):
    code, status = "RequestEntityTooLarge", 413
class AccessDenied(Fault):
    code, status = "AccessDenied", 403
class SignatureDoesNotMatch(Fault):
    code, status = "SignatureDoesNotMatch", 403
class InvalidClientTokenId(Fault):
    code, status = "InvalidClientTokenId", 403
class MissingAuthenticationToken(Named):
    code, status, says = "MissingAuthenticationToken", 403, "Missing Authentication Token"
class IncompleteSignature(Fault):
    code, status = "IncompleteSignature", 400
class RequestExpired(Named):
    code, status, says = "RequestExpired", 400, "Request has expired."
class Throttling(Named):
    code, status, says = "Throttling", 400, "Rate exceeded"
class ServiceUnavailable(Fault):
    code, status = "ServiceUnavailable", 503
class InternalFailure(Fault):
    code, status = "InternalFailure", 500

# ---- Ours ---------------------------------------------------------------------------------------------------------------
class OperationNotBuilt(Named):
    code, status = "UnsupportedOperation", 400
    says = "{id} is not built yet in Cachewright. Nothing was changed. See docs/operations.md for the operations that are."
class ResourceNotFound(NotFound):
    code, status, says = "ResourceNotFound", 404, "There is nothing at {id}."
class FaultNotFound(NotFound):
    code, status, says = "FaultNotFound", 404, "There is no injected fault {id}."
class JoinTokenNotFound(NotFound):
    code, status, says = "JoinTokenNotFound", 404, "There is no join token {id}."
class AccessKeyNotFound(NotFound):
    code, status, says = "AccessKeyNotFound", 404, "There is no access key {id}."
class AgentNotFound(NotFound):
    code, status, says = "AgentNotFound", 404, "There is no agent {id}."
class MethodNotAllowed(Fault):
    code, status = "MethodNotAllowed", 405
