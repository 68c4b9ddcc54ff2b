from tests.pose.conftest import model

__all__ = ["model"]
