"""Keys, tooltips and callbacks of everything a reviewer does, in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari.utils.key_bindings import coerce_keybinding

from napari_relabel.gui.commands import ReviewCommands


@dataclass(frozen=True)
class Action:
    """One thing to do.

    Parameters
    ----------
    id : str
        Name in settings.
    title : str
        Text of the button.
    tip : str
        What it does.
    key : str
        Its key, for example ``"J"`` or ``"Shift-J"``; letters that no napari layer uses.
    run : callable
        Does it.
    release : callable, optional
        What happens when the key or button is let go; makes the action one that is held.
    layer_keys : tuple of str
        More keys that work while one of our layers is selected.
    """

    id: str
    title: str
    tip: str
    key: str
    run: Callable[[], None]
    release: Callable[[], None] | None = None
    layer_keys: tuple[str, ...] = ()

    @property
    def all_keys(self) -> tuple[str, ...]:
        """Its key, and more that work on our layers."""
        return (self.key, *self.layer_keys)

    @property
    def key_text(self) -> str:
        """The key as it is printed."""
        return printed(self.key)

    @property
    def tooltip(self) -> str:
        """What it does, and its keys."""
        keys = " or ".join(map(printed, self.all_keys))
        return f"{self.tip}\nKey: {'hold ' if self.release is not None else ''}{keys}"


def review_actions(
    commands: ReviewCommands,
    save: Callable[[], None],
    learn: Callable[[], None],
    audit: Callable[[], None],
) -> tuple[Action, ...]:
    """Everything that has a key.

    Parameters
    ----------
    commands : ReviewCommands
        What the actions do.
    save : callable
        Approves the case and saves its mask.
    learn : callable
        Learns a rule from the approved cases.
    audit : callable
        Audits what was accepted in bulk.
    """
    c = commands
    return (
        Action("accept", "Accept", "Take over the current proposal, go to the next", "J", c.accept),
        Action("reject", "Reject", "Keep the given label, go to the next proposal", "K", c.reject),
        Action("skip", "Skip", "Leave the current proposal for later", "N", c.skip),
        Action("previous", "Back", "Go to the open proposal before", "Shift-N", c.previous),
        Action(
            "flag_proposal",
            "Flag proposal",
            "Put the current proposal aside to be looked at again, or take that back",
            "Shift-F",
            c.flag_proposal,
        ),
        Action(
            "next_flagged",
            "Next flagged",
            "Go to the next open proposal that is flagged",
            "Alt-N",
            c.next_flagged,
        ),
        Action("find", "Find", "Go to the current proposal again", "Shift-G", c.find_current),
        Action(
            "undo",
            "Undo",
            "Undo the last action on this case",
            "U",
            c.undo,
            layer_keys=("Control-Z",),
        ),
        Action(
            "redo",
            "Redo",
            "Do again what was undone",
            "W",
            c.redo,
            layer_keys=("Control-Shift-Z",),
        ),
        Action(
            "accept_slice",
            "Accept the rest of this slice",
            "Accept all that is open in the slice on screen",
            "Shift-J",
            c.accept_slice,
        ),
        Action(
            "reject_slice",
            "Reject the rest of this slice",
            "Reject all that is open in the slice on screen",
            "Shift-K",
            c.reject_slice,
        ),
        Action(
            "accept_surest",
            "Accept the surest",
            "Accept those proposals of this case of which 95 % are expected to be right, by what "
            "you accepted and rejected one by one so far",
            "Control-J",
            c.accept_surest,
        ),
        Action(
            "accept_all",
            "Accept the rest of this case",
            "Accept all that is open",
            "Control-Shift-J",
            c.accept_all,
        ),
        Action(
            "reject_all",
            "Reject the rest of this case",
            "Reject all that is open",
            "Control-Shift-K",
            c.reject_all,
        ),
        Action(
            "lock",
            "Lock the current proposal",
            "Nothing may change its voxels any more",
            "Shift-Q",
            c.lock,
        ),
        Action(
            "unlock",
            "Unlock all",
            "Unlock every voxel of the case",
            "Control-Shift-Q",
            c.unlock_all,
        ),
        Action("previous_case", "Previous case", "Open the case before", ",", c.previous_case),
        Action("next_case", "Next case", "Open the next case", ".", c.next_case),
        Action(
            "previous_undecided",
            "Previous undecided case",
            "Open the case before that is not approved",
            "Alt-,",
            c.previous_undecided,
        ),
        Action(
            "next_undecided",
            "Next undecided case",
            "Open the next case that is not approved",
            "Alt-.",
            c.next_undecided,
        ),
        Action(
            "list_cases",
            "List of cases…",
            "All cases in a table: sort, filter and search; the keys for cases follow it",
            "Control-Shift-L",
            c.list_cases,
        ),
        Action(
            "flag",
            "Flag case",
            "Put the case aside to be looked at again, or take that back",
            "Control-Shift-F",
            c.flag,
        ),
        Action(
            "lower", "More", "Lower delta, more is proposed", "Shift-W", lambda: c.nudge_delta(-1)
        ),
        Action(
            "higher", "Fewer", "Raise delta, less is proposed", "Shift-U", lambda: c.nudge_delta(+1)
        ),
        Action(
            "learn",
            "Learn from approved…",
            "Choose the rule that suits the approved cases; asks before it is used",
            "Control-Shift-H",
            learn,
        ),
        Action(
            "audit",
            "Audit bulk decisions…",
            "Judge a random sample of what was accepted in bulk, to know how much of it is wrong",
            "Control-Shift-G",
            audit,
        ),
        Action("view", "View", "Given, corrected, difference, and again", "H", c.cycle_view),
        Action(
            "uncertainty",
            "Uncertainty",
            "Show or hide the uncertainty",
            "Shift-H",
            c.toggle_uncertainty,
        ),
        Action(
            "filled",
            "Filled labels",
            "Fill the labels, or draw their outlines",
            "Alt-H",
            c.toggle_filled,
        ),
        Action(
            "beside",
            "Side by side",
            "Corrected and given labels in two views that move together, or in one",
            "Alt-G",
            c.toggle_beside,
        ),
        Action(
            "channel",
            "Next channel",
            "Show the next channel of the image, where it has several",
            "Alt-J",
            c.next_channel,
        ),
        Action(
            "blink",
            "Blink",
            "Show the given labels (or the corrected ones) while held",
            "G",
            c.blink_on,
            release=c.blink_off,
        ),
        Action(
            "keys",
            "Keys…",
            "All keys in a table, where they can be changed",
            "Alt-K",
            c.list_keys,
        ),
        Action("save", "Save approved", "Approve the case, save and verify its mask", "Q", save),
    )


def printed(key: str) -> str:
    """A key as people read it."""
    return key.replace("Control", "Ctrl").replace("-", "+")


def key_name(key: str) -> str:
    """One name per key, however it is written; empty for what is no key."""
    return str(coerce_keybinding(key)).strip()
