"""The marketplace over REST: offerings, tributes, the wallet and the owner's policies."""

from __future__ import annotations

from ninja import Router

from marketplace.api import offerings, policies, tributes, wallet

router = Router()
for each in (offerings, tributes, wallet, policies):
    router.add_router("", each.router)
