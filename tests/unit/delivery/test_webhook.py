"""A webhook: what its answers mean, and that nothing of one is trusted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ports import free_port
from receivers import Receiver, receiver

from controlplane.delivery.trouble import ReceiverAwayError, ReceiverRefusedError
from controlplane.delivery.webhook import Webhook
from controlplane.domain.delivery_place import DeliveryPlace, Way, delivery_place


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as listening:
        yield listening


@pytest.mark.parametrize(
    ("answers", "what"),
    [(200, None), (204, None), (301, ReceiverAwayError), (307, ReceiverAwayError), (400, ReceiverAwayError), (403, ReceiverRefusedError),
     (404, ReceiverRefusedError), (410, ReceiverRefusedError), (429, ReceiverAwayError), (500, ReceiverAwayError)],
)  # fmt: skip
def test_an_answer_takes_it_refuses_it_or_asks_for_patience(hook: Receiver, answers: int, what: type[Exception] | None) -> None:
    hook.answers, hook.headers = answers, {"Location": hook.url}
    webhook = Webhook(delivery_place(hook.url, "sns"))
    try:
        if what is None:
            webhook.post({"a": 1})
            assert hook.came == [{"a": 1}]
        else:
            with pytest.raises(what, match=f"answers {answers}"):
                webhook.post({"a": 1})
        assert hook.asked == 1
    finally:
        webhook.close()


def test_one_that_is_not_there_is_away_and_its_secrets_are_not_told() -> None:
    webhook = Webhook(delivery_place(f"http://user:s3cret@127.0.0.1:{free_port()}/hook?token=s3cret", "sns"))
    with pytest.raises(ReceiverAwayError, match="does not answer") as away:
        webhook.post({})
    webhook.close()
    assert "s3cret" not in str(away.value)


def test_a_setting_names_files_a_webhook_or_an_endpoint() -> None:
    assert delivery_place("", "sns") == DeliveryPlace(Way.FILES)
    assert delivery_place("https://host/path", "sns") == DeliveryPlace(Way.WEBHOOK, "https://host/path")
    assert delivery_place("sns+http://127.0.0.1:4100", "sns") == DeliveryPlace(Way.API, "http://127.0.0.1:4100")


@pytest.mark.parametrize("asked", ["host", "ftp://host/", "http://", "http://host:99999999/", "logs+http://host", "sns+http://a:b@host"])
def test_anything_else_is_refused(asked: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        delivery_place(asked, "sns")
