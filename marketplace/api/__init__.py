"""The marketplace over REST: offerings, tributes, the wallet and the owner's policies."""

from __future__ import annotations

from ninja import Router

from marketplace.api import buying, offerings, partners, selling, tributes, wallet

router = Router()
for each in (offerings, tributes, wallet, selling, buying, partners):
    router.add_router("", each.router)
