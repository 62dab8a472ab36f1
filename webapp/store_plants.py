"""Rows of plants, gateways, their invitations and the heads of their chains. Contains no policy."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from evidence.registry import PlantEntry
from webapp.models import ForkEvidence, Gateway, GatewayChain, HeldStatement, Invite, Plant


def find(session: Session, plant: str) -> Plant | None:
    """Get a plant."""
    return session.get(Plant, plant)


def list_all(session: Session) -> list[Plant]:
    """List all plants by id."""
    return list(session.scalars(select(Plant).order_by(Plant.id)))


def entry(plant: Plant) -> PlantEntry:
    """What the registry says of a plant."""
    return PlantEntry(plant.id, plant.zone, plant.region, plant.sm2_from)


def add(session: Session, plant: Plant) -> None:
    """Add a plant."""
    session.add(plant)
    session.flush()


# --- gateways --------------------------------------------------------------------------------------


def find_gateway(session: Session, gw: str) -> Gateway | None:
    """Get a gateway."""
    return session.get(Gateway, gw)


def gateways(session: Session, plant: str) -> list[Gateway]:
    """List a plant's gateways."""
    return list(session.scalars(select(Gateway).where(Gateway.plant == plant).order_by(Gateway.id)))


def add_gateway(session: Session, gateway: Gateway) -> None:
    """Add a gateway."""
    session.add(gateway)
    session.flush()


def set_gateway_key(session: Session, gw: str, kid: str) -> None:
    """Note a gateway's newest key."""
    session.get_one(Gateway, gw).kid = kid


def note_seen(session: Session, gw: str, at: datetime) -> None:
    """Remember when a gateway was last heard."""
    session.execute(update(Gateway).where(Gateway.id == gw).values(last_seen_at=at))


def chain(session: Session, gw: str, epoch: int) -> GatewayChain | None:
    """Get the head of a device's statement chain."""
    return session.get(GatewayChain, (gw, epoch))


def chains(session: Session, plant: str) -> list[GatewayChain]:
    """List the chain heads of a plant's gateways."""
    query = select(GatewayChain).where(GatewayChain.plant == plant)
    return list(session.scalars(query.order_by(GatewayChain.gw, GatewayChain.epoch)))


def newest_epoch(session: Session, gw: str) -> int:
    """Get the newest epoch a gateway has used; 0 before its first statement."""
    query = select(GatewayChain.epoch).where(GatewayChain.gw == gw).order_by(GatewayChain.epoch.desc()).limit(1)
    return session.scalar(query) or 0


def save_chain(session: Session, head: GatewayChain) -> GatewayChain:
    """Write the head of a chain; gives the row as the session holds it."""
    return session.merge(head)


# --- invitations -----------------------------------------------------------------------------------


def add_invite(session: Session, invite: Invite) -> None:
    """Add an invitation."""
    session.add(invite)
    session.flush()


def find_invite(session: Session, code_hash: str) -> Invite | None:
    """Get an invitation by the hash of its code."""
    return session.get(Invite, code_hash)


# --- held and forked statements --------------------------------------------------------------------


def hold(session: Session, held: HeldStatement) -> None:
    """Keep a statement until its predecessor comes."""
    session.merge(held)
    session.flush()


def held_after(session: Session, sid: str) -> list[HeldStatement]:
    """List the statements that waited for this one."""
    return list(session.scalars(select(HeldStatement).where(HeldStatement.missing == sid)))


def count_held(session: Session, gw: str) -> int:
    """Count a gateway's held statements."""
    return len(session.scalars(select(HeldStatement.sid).where(HeldStatement.gw == gw)).all())


def forget_held(session: Session, before: datetime) -> None:
    """Forget the statements that have been held since before a time."""
    session.execute(delete(HeldStatement).where(HeldStatement.held_at < before))


def release(session: Session, sid: str) -> None:
    """Forget a held statement."""
    row = session.get(HeldStatement, sid)
    if row is not None:
        session.delete(row)
        session.flush()


def keep_fork(session: Session, fork: ForkEvidence) -> None:
    """Keep the two statements of a fork."""
    session.merge(fork)
    session.flush()


def forks(session: Session, plant: str) -> list[ForkEvidence]:
    """List a plant's forks."""
    query = select(ForkEvidence).where(ForkEvidence.plant == plant).order_by(ForkEvidence.seen_at)
    return list(session.scalars(query))


def all_forks(session: Session) -> list[ForkEvidence]:
    """List the forks of all plants, oldest first."""
    return list(session.scalars(select(ForkEvidence).order_by(ForkEvidence.seen_at, ForkEvidence.sid)))


def find_fork(session: Session, sid: str) -> ForkEvidence | None:
    """Find the fork that a refused statement made."""
    return session.get(ForkEvidence, sid)
