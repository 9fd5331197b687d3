"""1,200,000 orders of a web shop, made from a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

ROWS = 1_200_000
COUNTRIES = ("AT", "BR", "CA", "DE", "ES", "FR", "GB", "IN", "IT", "JP", "MX", "NL", "PL", "SE", "US")
CATEGORIES = ("books", "garden", "kitchen", "music", "outdoor", "pets", "tools", "toys")


def orders(rows: int = ROWS, seed: int = 2512) -> pd.DataFrame:
    """Columns order_id, placed, country, category, status (delivered, returned, cancelled), quantity, revenue."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(seed)
    country = rng.choice(len(COUNTRIES), rows, p=rng.dirichlet(np.full(len(COUNTRIES), 4.0)))
    category = rng.choice(len(CATEGORIES), rows)
    returned = rng.random(rows) < 0.02 + 0.01 * category
    cancelled = rng.random(rows) < 0.015
    quantity = rng.integers(1, 6, rows)
    second = np.sort(rng.integers(0, 365 * 86_400, rows))
    return pd.DataFrame(
        {
            "order_id": np.arange(1, rows + 1),
            "placed": pd.Timestamp("2025-01-01") + pd.to_timedelta(second, unit="s"),
            "country": np.array(COUNTRIES)[country],
            "category": np.array(CATEGORIES)[category],
            "status": np.where(cancelled, "cancelled", np.where(returned, "returned", "delivered")),
            "quantity": quantity,
            "revenue": (quantity * rng.lognormal(3.0, 0.6, rows)).round(2),
        }
    )
