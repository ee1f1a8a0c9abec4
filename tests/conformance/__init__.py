import pytest

# So that a failed assertion in what the tests share shows its values.
pytest.register_assert_rewrite("tests.conformance.aftermath", "tests.conformance.gate", "tests.conformance.strikes")
