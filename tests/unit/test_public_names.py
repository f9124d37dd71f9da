"""The names of the contract are there, and each says what it is."""

import poolcore


def test_every_public_name_can_be_had():
    for name in poolcore.__all__:
        assert getattr(poolcore, name) is not None
    assert set(poolcore.__all__) <= set(dir(poolcore))


def test_every_public_name_has_a_docstring():
    for name in poolcore.__all__:
        value = getattr(poolcore, name)
        if isinstance(value, type):
            assert value.__doc__, name
            for part, member in vars(value).items():
                if not part.startswith("_") and callable(member):
                    assert member.__doc__, f"{name}.{part}"


def test_verdicts_have_their_numbers():
    names = "LIVE NULL DOUBLE INTERIOR FOREIGN OTHER_POOL EXPORTED CORRUPT CLOSED"
    assert [verdict.name for verdict in poolcore.Verdict] == names.split()
    assert [int(verdict) for verdict in poolcore.Verdict] == list(range(9))
