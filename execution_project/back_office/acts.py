"""What people do in the admin: halt, start, kill, cancel, sync, decide.

Each act is a page that says what will happen and a POST that calls the function the API calls, with the person as the
actor. A GET changes nothing; rights are asked for twice, here before the page is shown and by the function itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views import View

from exchanges.models import Account
from execution_project.back_office import effects
from execution_project.back_office.chores import chore_lines
from execution_project.back_office.effects import Effect
from execution_project.back_office.forms import (
    AcknowledgeForm,
    DecideForm,
    HaltForm,
    ReasonForm,
    ResolveBreakForm,
    ResolveOrderForm,
    SyncForm,
)
from execution_project.back_office.pages import actor_of, page, problem_page
from execution_project.back_office.scopes import Scope, choices, scope_of
from execution_project.back_office.wording import age_of, number_of
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.approvals import approval_of, asked_by, carry_out, consequences, decide_and_carry_out
from execution_project.common.models import Approval
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from execution_project.templatetags.back_office import words
from orders.absence import Judged, judged_by_the_last
from orders.breaks import RESOLVE_BREAK, acknowledge, listed_breaks, resolve
from orders.canceling import cancel_scope, request_cancel
from orders.killing import kill
from orders.lifecycle import ENDED
from orders.models import Break, Order
from orders.resolving import ACT as RESOLVE_ORDER
from orders.resolving import Resolution, UnknownOrder, propose_resolution, unknown_order, with_answers
from orders.sync_requests import Fact, facts_of, request_sync
from risk.circuits import close_circuit
from risk.models import Circuit
from risk.trading_state import halt, propose_start, start

DATABASE_SILENT = (
    "The database did not answer in time. It is not certain that this was done: look at the state, then do it again."
    " Doing it twice does no harm."
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, in a sentence, and the page that shows it."""

    sentence: str
    then: str
    level: int = messages.SUCCESS


class Act(View):
    """One act: subclasses say who may, what it does, and do it by one call."""

    http_method_names = ["get", "head", "post"]
    right: ClassVar[Right]
    cause: ClassVar[str]
    template = "back_office/act.html"
    form_class: type[forms.Form] = ReasonForm
    by: Actor

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Refusals of any kind become a page in words with the status of the problem."""
        self.by = actor_of(request, self.cause)
        try:
            self.by.require(self.right)
            self.look_up(kwargs)
            return super().dispatch(request, *args, **kwargs)
        except Problem as problem:
            return problem_page(request, problem)
        except (OperationalError, InterfaceError):
            return problem_page(request, Problem(503, "DATABASE_UNAVAILABLE", DATABASE_SILENT))

    def look_up(self, named: dict[str, Any]) -> None:
        """Find what the URL names; raises ``Problem`` (404)."""
        raise NotImplementedError

    def effect(self) -> Effect:
        """What the page says."""
        raise NotImplementedError

    def carry_out(self, answers: dict[str, Any]) -> Outcome:
        """Do it; raises ``Problem``."""
        raise NotImplementedError

    def initial(self) -> dict[str, Any]:
        """What the form starts with."""
        return {}

    def form(self, answers: QueryDict | None = None) -> forms.Form:
        """The form, with what was sent."""
        return self.form_class(answers, initial=self.initial())

    def back(self) -> str:
        """Where "leave it" leads."""
        return reverse("admin:index")

    def context(self) -> dict[str, Any]:
        """What the template of a subclass needs beyond the effect."""
        return {}

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """The confirmation page."""
        return self._page(self.form())

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """The act; back to the page with its errors when the form is not whole."""
        form = self.form(request.POST)
        if not form.is_valid():
            return self._page(form, status=400)
        outcome = self.carry_out(form.cleaned_data)
        messages.add_message(request, outcome.level, outcome.sentence)
        return HttpResponseRedirect(outcome.then)

    def _page(self, form: forms.Form, *, status: int = 200) -> HttpResponse:
        effect = self.effect()
        context = {"title": effect.title, "effect": effect, "form": form, "back": self.back(), **self.context()}
        return page(self.request, self.template, context, status=status)


class ScopeAct(Act):
    """An act on a scope, which its query names."""

    scope: Scope

    def look_up(self, named: dict[str, Any]) -> None:
        """The scope of the query."""
        self.scope = scope_of(self.request)

    def context(self) -> dict[str, Any]:
        """The other scopes, each a link to the same page."""
        return {"scope": self.scope, "scopes": [scope for scope in choices() if scope != self.scope]}


class HaltAct(ScopeAct):
    """A plain halt."""

    right, cause, form_class = Right.HALT, "halt", HaltForm

    def effect(self) -> Effect:
        """What a plain halt does."""
        return effects.of_halt(self.scope)

    def carry_out(self, answers: dict[str, Any]) -> Outcome:
        """Halt, then cancel if asked for."""
        scope, reason = self.scope, answers["reason"]
        halt(scope.kind, scope.key, reason=reason, by=self.by)
        sentence = f"Halted {scope.words}."
        if answers["cancel_orders"]:
            asked = cancel_scope(scope.kind, scope.key, by=self.by, reason=reason)
            sentence += f" Asked for the end of {number_of(str(asked), 'order')}."
        return Outcome(sentence, reverse("admin:index"))


class KillAct(ScopeAct):
    """The kill switch: nothing to type, so that two clicks are enough."""

    right, cause = Right.KILL, "kill switch"

    def initial(self) -> dict[str, Any]:
        """A reason that stands for itself."""
        return {"reason": "kill switch"}

    def effect(self) -> Effect:
        """What the kill switch does."""
        return effects.of_kill(self.scope)

    def carry_out(self, answers: dict[str, Any]) -> Outcome:
        """Latch, then cancel."""
        killed = kill(self.scope.kind, self.scope.key, reason=answers["reason"], by=self.by)
        asked = number_of(str(killed.cancels_requested), "order")
        return Outcome(
            f"Killed {self.scope.words}: halted and latched. Asked for the end of {asked}.",
            reverse("admin:risk_killepisode_change", args=[killed.episode.id]),
            messages.WARNING,
        )


class StartAct(ScopeAct):
    """The end of a plain halt; for a latch, the proposal."""

    right, cause = Right.START, "start"

    def effect(self) -> Effect:
        """What a start does here."""
        return effects.of_start(self.scope)

    def carry_out(self, answers: dict[str, Any]) -> Outcome:
        """Start, or propose where a latch stands."""
        scope, reason = self.scope, answers["reason"]
        try:
            start(scope.kind, scope.key, reason=reason, by=self.by)
        except Problem as problem:
            if problem.code != "LATCHED":
                raise
            propose_start(scope.kind, scope.key, reason=reason, by=self.by)
            words = f"Proposed to start {scope.words}. Nothing is started until another person approves."
            return Outcome(words, reverse("admin:index"), messages.WARNING)
        return Outcome(f"Started {scope.words}.", reverse("admin:index"))


class CancelScopeAct(ScopeAct):
    """The end of all orders in a scope, without a halt."""

    right, cause = Right.CANCEL, "cancel all orders"

    def effect(self) -> Effect:
        """What it does."""
        return effects.of_cancel_scope(self.scope)

    def carry_out(self, answers: dict[str, Any]) -> Outcome:
        """Ask for every order's end."""
        asked = cancel_scope(self.scope.kind, self.scope.key, by=self.by, reason=answers["reason"])
        words = f"Asked for the end of {number_of(str(asked), 'order')} in {self.scope.words}."
        return Outcome(words, reverse("admin:index"))


class OrderAct(Act):
    """An act on one order, which its path names."""

    order: Order

    def look_up(self, named: dict[str, Any]) -> None:
        """The order."""
        order_id: UUID = named["order_id"]
        order = Order.objects.select_related("account", "instrument", "strategy").filter(id=order_id).first()
        if order is None:
            raise Problem(404, "UNKNOWN_ORDER", f"There is no order {order_id}.")
        self.order = order

    def back(self) -> str:
        """The order's page."""
        return reverse("admin:orders_order_change", args=[self.order.id])


class CancelOrderAct(OrderAct):
    """The end of one order."""

    right, cause = Right.CANCEL, "cancel order"

    def effect(self) -> Effect:
        """What it does to this order."""
        return effects.of_cancel_order(self.order)

    def carry_out(self, answers: dict[str, Any]) -> Outcome:
        """Ask for its end."""
        order = request_cancel(self.order.id, by=self.by, reason=answers["reason"])
        if order.status in ENDED:
            return Outcome(f"The order has ended: {order.ended_as or order.status}.", self.back())
        return Outcome("Asked the exchange for the order's end. It ends when the exchange says so.", self.back())


OUTCOMES = {
    Resolution.REJECTED: "rejected: the exchange never accepted it",
    Resolution.CANCELED: "canceled: the exchange had it, and it works no more",
}


class ResolveOrderAct(OrderAct):
    """The proposal of an end for an order that nobody knows the end of."""

    right, cause, form_class = Right.RESOLVE, "resolve order", ResolveOrderForm
    template = "back_office/resolve_order.html"
    unknown: UnknownOrder | None

    def look_up(self, named: dict[str, Any]) -> None:
        """The order, with the evidence so far."""
        super().look_up(named)
        self.unknown = unknown_order(self.order)

    def form(self, answers: QueryDict | None = None) -> forms.Form:
        """With the outcomes that this order may have."""
        form = super().form(answers)
        outcome = form.fields["outcome"]
        assert isinstance(outcome, forms.ChoiceField)  # noqa: S101  ResolveOrderForm says so
        possible = () if self.unknown is None else self.unknown.outcomes
        outcome.choices = [(each.value, OUTCOMES[each]) for each in possible]
        return form

    def effect(self) -> Effect:
        """What it does to this order."""
        return effects.of_resolve_order(self.order, self.unknown)

    def context(self) -> dict[str, Any]:
        """Every round of looking for it."""
        return {"unknown": self.unknown, "rounds": _rounds(self.unknown)}

    def carry_out(self, answers: dict[str, Any]) -> Outcome:
        """Propose."""
        propose_resolution(self.order.id, answers["outcome"], answers["reason"], self.by)
        words = f"Proposed to end the order as {answers['outcome']}. Nothing ends until another person approves."
        return Outcome(words, self.back(), messages.WARNING)


ROUNDS_SHOWN = 50


def _rounds(unknown: UnknownOrder | None) -> list[Judged]:
    """The newest rounds, newest first, with what was answered in them."""
    if unknown is None:
        return []
    shown = judged_by_the_last(unknown.rounds)[::-1][:ROUNDS_SHOWN]
    with_answers([judged.round for judged in shown])
    return shown


class BreakAct(Act):
    """An act on one break, which its path names."""

    right = Right.RESOLVE
    row: Break

    def look_up(self, named: dict[str, Any]) -> None:
        """The break."""
        break_id: UUID = named["break_id"]
        row: Break | None = listed_breaks().filter(id=break_id).first()
        if row is None:
            raise Problem(404, "UNKNOWN_BREAK", f"There is no break {break_id}.")
        self.row = row

    def back(self) -> str:
        """The break's page."""
        return reverse("admin:orders_break_change", args=[self.row.id])


class AcknowledgeAct(BreakAct):
    """Somebody looks after a break."""

    cause, form_class = "acknowledge break", AcknowledgeForm
    template = "back_office/acknowledge_break.html"

    def initial(self) -> dict[str, Any]:
        """Whoever asks."""
        return {"owner": self.row.owner or self.request.user.get_username()[:128], "reason": "I look into it"}

    def effect(self) -> Effect:
        """What it does."""
        return effects.of_acknowledge_break(self.row)

    def carry_out(self, answers: dict[str, Any]) -> Outcome:
        """Name the owner."""
        by = actor_of(self.request, f"{self.cause}: {answers['reason']}")
        row = acknowledge(self.row.id, answers["owner"], by)
        return Outcome(f"{row.owner} looks after it.", self.back())


class ResolveBreakAct(BreakAct):
    """The end of a break by hand; for a severe one, or one that moves the books, the proposal."""

    cause, form_class = "resolve break", ResolveBreakForm

    def effect(self) -> Effect:
        """What its end does."""
        return effects.of_resolve_break(self.row)

    def carry_out(self, answers: dict[str, Any]) -> Outcome:
        """End it, or propose to."""
        if resolve(self.row.id, answers["reason"], self.by).approval is None:
            return Outcome("The break is resolved.", self.back())
        words = "Proposed to resolve the break. Nothing ends until another person approves."
        return Outcome(words, self.back(), messages.WARNING)


class CloseCircuitAct(Act):
    """A symbol that the exchange refused three times trades again before its time."""

    right, cause = Right.START, "close circuit"
    circuit: Circuit

    def look_up(self, named: dict[str, Any]) -> None:
        """The circuit."""
        circuit_id: int = named["circuit_id"]
        circuit = Circuit.objects.filter(pk=circuit_id).first()
        if circuit is None:
            raise Problem(404, "UNKNOWN_CIRCUIT", f"There is no circuit {circuit_id}: it may have closed by itself.")
        self.circuit = circuit

    def back(self) -> str:
        """The list: a closed circuit has no page."""
        return reverse("admin:risk_circuit_changelist")

    def effect(self) -> Effect:
        """What it does."""
        return effects.of_close_circuit(self.circuit)

    def carry_out(self, answers: dict[str, Any]) -> Outcome:
        """Close every circuit of the symbol."""
        row = self.circuit
        close_circuit(row.account_name, row.symbol, reason=answers["reason"], by=self.by)
        return Outcome(f"{row.symbol} trades on {row.account_name} again.", self.back())


class SyncAct(Act):
    """Fresh facts of one account, fetched by the housekeeping workers."""

    right, cause, form_class = Right.SYNC, "sync", SyncForm
    template = "back_office/sync.html"
    account: Account

    def look_up(self, named: dict[str, Any]) -> None:
        """The account."""
        account_id: int = named["account_id"]
        account = Account.objects.filter(pk=account_id).first()
        if account is None:
            raise Problem(404, "UNKNOWN_ACCOUNT", f"There is no account {account_id}.")
        self.account = account

    def back(self) -> str:
        """The account's page."""
        return reverse("admin:exchanges_account_change", args=[self.account.pk])

    def initial(self) -> dict[str, Any]:
        """Everything, for the reason that somebody asks."""
        return {"reason": "looked at by hand", "facts": [fact.value for fact in facts_of(self.account)]}

    def form(self, answers: QueryDict | None = None) -> forms.Form:
        """With what this account has."""
        form = super().form(answers)
        facts = form.fields["facts"]
        assert isinstance(facts, forms.MultipleChoiceField)  # noqa: S101  SyncForm says so
        facts.choices = [(fact.value, words(fact)) for fact in facts_of(self.account)]
        return form

    def effect(self) -> Effect:
        """What is rung."""
        account = self.account
        return Effect(
            f"Sync {account.name}",
            "Fetch now",
            "calm",
            [
                "The housekeeping workers ask the exchange and store its answers; this page shows how far they are.",
                "What is being fetched already is not asked for twice.",
                f"Instruments and quotes serve all {account.mode} accounts at {account.get_exchange_display()}.",
            ],
            facts=[("Account", account.name), ("Exchange", account.get_exchange_display()), ("Mode", account.mode)],
        )

    def context(self) -> dict[str, Any]:
        """How each chore went last."""
        return {"account": self.account, "chores": chore_lines(self.account)}

    def carry_out(self, answers: dict[str, Any]) -> Outcome:
        """Ring."""
        asked = [Fact(value) for value in answers["facts"]]
        rung = request_sync(self.account, asked, reason=answers["reason"], by=self.by)
        under_way = [fact.value for fact in asked if fact not in rung]
        sentence = f"Asked for {words(', '.join(rung))}." if rung else "Nothing new was asked for."
        if under_way:
            sentence += f" Under way already: {words(', '.join(under_way))}."
        return Outcome(sentence, reverse("admin:act_sync", args=[self.account.pk]))


class DecideAct(Act):
    """A second person's word for what somebody proposed."""

    right, cause, form_class = Right.APPROVE, "decide", DecideForm
    template = "back_office/decide.html"
    approval: Approval

    def look_up(self, named: dict[str, Any]) -> None:
        """The proposal."""
        self.approval = approval_of(named["approval_id"])

    def effect(self) -> Effect:
        """What was proposed, and whether anything is left to decide."""
        row, now = self.approval, clock.now()
        facts = [
            ("Proposal", f"{row.act.replace('_', ' ')}: {row.subject}"),
            ("Asked by", f"{row.requested_by}, {age_of(row.requested_at, now)} ago"),
            ("Reason", row.reason),
            ("Lapses", f"{row.expires_at:%Y-%m-%d %H:%M:%S}"),
        ]
        if row.decided_at is not None:
            facts.append(("Decided", f"{'approved' if row.approved else 'refused'} by {row.decided_by}"))
        return Effect(
            f"Decide: {row.act.replace('_', ' ')} {row.subject}",
            self._left_to_do(),
            "warning",
            [self._situation(), *self._consequences()],
            orders=self._orders(),
            facts=facts,
        )

    def context(self) -> dict[str, Any]:
        """Every round of looking for an order whose end was proposed."""
        unknowns = [unknown_order(order) for order in self._orders()]
        return {"rounds": [judged for unknown in unknowns for judged in _rounds(unknown)]}

    def _consequences(self) -> list[str]:
        """What approving does, while there is anything to decide."""
        row = self.approval
        decided = row.used_at is not None or row.approved is False or row.expires_at <= clock.now()
        return [] if decided else consequences(row)

    def _orders(self) -> list[Order]:
        """The order that the proposal is about."""
        row = self.approval
        orders = Order.objects.select_related("account", "instrument", "strategy")
        if row.act == RESOLVE_ORDER:
            return list(orders.filter(id=row.subject))
        return list(orders.filter(breaks__id=row.subject)) if row.act == RESOLVE_BREAK else []

    def _left_to_do(self) -> str:
        row = self.approval
        if row.expires_at <= clock.now() or row.used_at is not None or row.approved is False:
            return ""
        if row.approved:
            return "again"
        return "" if asked_by(row, self.by) else "decide"

    def _situation(self) -> str:
        row = self.approval
        if row.used_at is not None:
            return "Approved and carried out."
        if row.approved is False:
            return "Refused; nothing was done."
        if row.expires_at <= clock.now():
            return "Lapsed; whoever wants it asks again."
        if row.approved:
            return "Approved, but not carried out yet: the first try failed. It may be tried again until it lapses."
        if asked_by(row, self.by):
            return "You asked for this yourself: another person has to decide."
        return "When you approve, it is carried out at once. When you refuse, nothing happens."

    def carry_out(self, answers: dict[str, Any]) -> Outcome:
        """Decide and carry out, or carry out again."""
        by = actor_of(self.request, f"decide: {answers['reason']}")
        if answers["decision"] == "again":
            sentence = carry_out(self.approval.id, by=by)
        else:
            sentence = decide_and_carry_out(self.approval.id, approved=answers["decision"] == "approve", by=by)
        return Outcome(sentence, reverse("admin:index"))
