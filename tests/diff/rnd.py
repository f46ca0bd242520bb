# SPDX-License-Identifier: MIT
"""Random scenarios: two sockets and two guests that meet on a few short paths. The same seed is
the same scenario.

While a transaction is open nobody else changes anything: what the daemons do when somebody does is
decided differently on purpose, and the written scenarios hold it."""
import random

from world import Scenario

STEPS = 45
SHARED = ["/s", "/s/a", "/s/a/x", "/s/b", "/s/b/x", "/s/c"]
HOMES = ["/local/domain/5", "/local/domain/5/a", "/local/domain/6/a", "/local/domain/6"]
SPECIAL = ["/", "/s//a", "/s/", "@releaseDomain", "@other", '""', "/local", "/s/a/x/y/z"]
ACCESS = ["n0", "r0", "b0", "n5", "n6", "r5", "b6"]
ENTRIES = ["r5", "w5", "b5", "n5", "r6", "w6", "b6", "r0"]
WEIGHTS = {
    "WRITE": 22, "READ": 14, "RM": 8, "MKDIR": 8, "DIRECTORY": 8, "SET_PERMS": 7,
    "GET_PERMS": 6, "WATCH": 8, "UNWATCH": 3, "START": 6, "END": 6, "RAW": 2, "H": 2,
    "RESET_WATCHES": 1, "IS_INTRODUCED": 1, "GET_DOMAIN_PATH": 1,
}
CHANGES = ("WRITE", "RM", "MKDIR", "SET_PERMS")


class Maker:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.n_tx = 0
        self.open = None    # (connection, name) of the transaction
        self.alive = {"5": True, "6": True}
        self.steps = ["H guest 5", "H guest 6", "a MKDIR /s", "a SET_PERMS /s n0 b5 b6"]

    def path(self, conn):
        x = self.r.random()
        if x < 0.06:
            return self.r.choice(SPECIAL)
        if conn[0] == "g" and x < 0.3:
            return self.r.choice(["a", "a/x", "b"])
        if x < 0.4:
            return self.r.choice(HOMES)
        return self.r.choice(SHARED)

    def conn(self):
        guests = ["g" + d for d, alive in self.alive.items() if alive]
        if self.open and self.r.random() < 0.8:
            return self.open[0]
        return self.r.choice(["a", "b"] + guests + guests)

    def perms(self, conn):
        owner = "n" + conn[1:] if conn[0] == "g" and self.r.random() < 0.8 else \
            self.r.choice(ACCESS)
        return " ".join([owner] + [self.r.choice(ENTRIES) for _ in range(self.r.randrange(3))])

    def host(self):
        domid = self.r.choice("56")
        self.alive[domid] = not self.alive[domid]
        if not self.alive[domid]:
            return ["H destroy " + domid]
        # What the former domain of that id was let do is not what this is about.
        return ["H guest " + domid, "a SET_PERMS /s n0 b5 b6"]

    def end(self):
        conn, name = self.open
        self.open = None
        return ["%s t=%s END %s" % (conn, name, self.r.choice("TTTF"))]

    def start(self, conn):
        self.n_tx += 1
        self.open = (conn, str(self.n_tx))
        return ["%s t=%d START" % (conn, self.n_tx)]

    def raw(self, conn):
        octets = "".join(self.r.choice(["/s", "/a", "\\0", "x", "n5", "1", "@", "/"])
                         for _ in range(self.r.randrange(1, 5)))
        return "%s RAW %d %s" % (conn, self.r.choice([1, 2, 3, 11, 12, 13, 14, 4, 5, 22, 10]),
                                 octets)

    def steps_of(self, op, conn):
        if op == "H":
            return self.host()
        if op in ("START", "END"):
            return self.end() if self.open else self.start(conn)
        if op == "RAW":
            return [self.raw(conn)]
        if op in ("WATCH", "UNWATCH"):
            return ["%s %s %s t%d" % (conn, op, self.path(conn), self.r.randrange(3))]
        if op == "RESET_WATCHES":
            if self.open and self.open[0] == conn:
                self.open = None
            return [conn + ' RESET_WATCHES ""']
        if op in ("IS_INTRODUCED", "GET_DOMAIN_PATH"):
            return ["%s %s %s" % (conn, op, self.r.choice(["5", "6", "7"]))]
        tx = "t=%s " % self.open[1] if self.open and self.open[0] == conn else ""
        path = self.path(conn)
        if op == "SET_PERMS" and path == "/":
            path = "/s"     # with the owner of everything C loses everything
        line = "%s %s%s %s" % (conn, tx, op, path)
        if op == "WRITE":
            line += " %d" % self.r.randrange(3)
        elif op == "SET_PERMS":
            line += " " + self.perms(conn)
        return [line]

    def step(self):
        op = self.r.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        conn = self.conn()
        if self.open and (op in ("H", "RAW") or op in CHANGES and conn != self.open[0]):
            return self.end() if self.r.random() < 0.3 else []
        return self.steps_of(op, conn)

    def make(self):
        while len(self.steps) < STEPS:
            self.steps += self.step()
        return self.steps


def scenario(seed):
    return Scenario("random-%d" % seed, "\n".join(Maker(seed).make()))
