"""The marketplace over REST: offerings, tributes, the wallet and the owner's policies."""

from __future__ import annotations

from ninja import Router

from marketplace.api import buying, offerings, selling, tributes, wallet

router = Router()
for each in (offerings, tributes, wallet, selling, buying):
    router.add_router("", each.router)
