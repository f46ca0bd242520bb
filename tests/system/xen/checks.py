# SPDX-License-Identifier: MIT
"""What is asked of a host with our store, whatever the test is about."""
import json

from lab import equal, until

GAP_MS = 1000       # no guest waits longer, whatever becomes of the daemon


def configs_agree(h):
    """`drover config list -l` is what `xl list -l` says, and there is nothing to find."""
    theirs = json.loads(h.run("xl list -l").out)
    ours = json.loads(h.run("drover config list -l").out)
    equal([one["domid"] for one in ours], [one["domid"] for one in theirs])
    for mine, its in zip(ours, theirs):
        if its["domid"] == 0:       # decision 102
            its["config"]["b_info"]["target_memkb"] += 1
        equal(mine, its)
        shown = h.run("drover config show --json %d" % its["domid"]).out
        equal(json.loads(shown), its["config"])
    checked = json.loads(h.run("drover config check --json").out)
    faults = [item for one in checked for item in one["items"] if item["fault"]]
    equal(faults, [])


def gone(h, domid):
    """A domain leaves nothing in the store."""
    for path in ("/local/domain/%d", "/libxl/%d"):
        until(lambda p=path: h.run(["xenstore-exists", p % domid], check=False).status,
              "%s goes" % path % domid)


def awake(h, name):
    """It beats, its watch fires and its transactions end."""
    h.await_beats(name, 3)
    h.tell(name, "hello")
    h.guest_line(name, r"^tx \d+ \d+ \d+")
    h.run("xenstore-read /local/domain/%d/data/ack" % h.domid(name))


def kill_worker(h):
    pid = h.worker_pid()
    h.run("kill -9 %d" % pid)
    until(lambda: h.worker_pid() not in (0, pid), "another worker")


def update(h):
    before = h.worker_pid()
    h.run("xenstore-control live-update /usr/sbin/drover-xenstored")
    assert h.worker_pid() != before, "the same process still serves"


def one_round(h, names, happens, word):
    """It happens once while guests beat: the largest gap that one of them saw."""
    since = {name: h.beats(name)[-1][0] for name in names}
    happens(h)
    for name in names:
        h.tell(name, word)
        h.await_beats(name, 3)
    return max(h.largest_gap_ms(name, since[name]) for name in names)


def while_guests_beat(h, names, times, happens):
    """Nobody waits long while it happens that often, and whoever watches is still told. Where
    others have the processors that this machine is emulated with, a round is done again."""
    gaps, again = [], 2 * times
    for n in range(times):
        while True:
            starved = h.starved_ms()
            gap = one_round(h, names, happens, "round-%d-%d" % (n, again))
            starved = h.starved_ms() - starved
            if gap < GAP_MS:
                break
            print("# %d ms; the machine itself waited %d ms" % (gap, starved))
            assert starved > gap // 2 and again, "a guest waited for %d ms" % gap
            again -= 1
        gaps.append(gap)
    print("# the largest gaps, in ms: %s" % " ".join(map(str, gaps)))
    for name in names:
        h.guest_line(name, r"^tx \d+")
        equal(h.errors(name), [])
