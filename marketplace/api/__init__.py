"""The marketplace over REST: offerings, tributes, the wallet and the owner's policies."""

from __future__ import annotations

from ninja import Router

from marketplace.api import buying, offerings, tributes, wallet

router = Router()
for each in (buying, offerings, tributes, wallet):
    router.add_router("", each.router)
