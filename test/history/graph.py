# SPDX-License-Identifier: PostgreSQL
"""What must come before what: a graph of events, and its cycles.

An edge has a kind: "ww", "wr" and "rw" are dependencies between
transactions, "po" joins the events of one transaction, "rt" says that one
event had ended before another began.  Real time is a chain of moments that
each event leaves and enters, so that it takes two edges an event and not one
for each pair.
"""

import heapq

# What an edge costs in a search for least cycles: the chain of moments is
# long, and no number of other edges is worth an rw.
COST = {"rt": 1, "po": 1, "ww": 10 ** 6, "wr": 10 ** 6, "rw": 10 ** 12}
START_NODES = 60        # of a search within one component


class Graph:
    def __init__(self):
        self.names = []         # what a node is; None: a moment
        self.edges = []         # node -> [(node, kind, why)]

    def node(self, name):
        self.names.append(name)
        self.edges.append([])
        return len(self.names) - 1

    def edge(self, a, b, kind, why=None):
        if a != b:
            self.edges[a].append((b, kind, why))

    def real_time(self, events):
        """events: (node, began or None, ended or None)"""
        ends = []
        for node, began, ended in events:
            if began is not None:
                ends.append((began, 0, node))
            if ended is not None:
                ends.append((ended, 1, node))
        # what ends at the moment another begins was not before it
        ends.sort()
        moment = self.node(None)
        left = False
        for _, is_end, node in ends:
            if not is_end:
                self.edge(moment, node, "rt")
                left = True
                continue
            if left:
                later = self.node(None)
                self.edge(moment, later, "rt")
                moment = later
                left = False
            self.edge(node, moment, "rt")

    def components(self):
        """Tarjan: the strongly connected components of two or more nodes."""
        index = [0] * len(self.edges)
        low = [0] * len(self.edges)
        on_stack = bytearray(len(self.edges))
        stack, found, count = [], [], 0
        for root in range(len(self.edges)):
            if index[root]:
                continue
            count += 1
            index[root] = low[root] = count
            stack.append(root)
            on_stack[root] = 1
            work = [(root, iter(self.edges[root]))]
            while work:
                node, rest = work[-1]
                for target, _, _ in rest:
                    if not index[target]:
                        count += 1
                        index[target] = low[target] = count
                        stack.append(target)
                        on_stack[target] = 1
                        work.append((target, iter(self.edges[target])))
                        break
                    if on_stack[target] and index[target] < low[node]:
                        low[node] = index[target]
                else:
                    work.pop()
                    if work and low[node] < low[work[-1][0]]:
                        low[work[-1][0]] = low[node]
                    if low[node] == index[node]:
                        members = []
                        while True:
                            member = stack.pop()
                            on_stack[member] = 0
                            members.append(member)
                            if member == node:
                                break
                        if len(members) > 1:
                            found.append(members)
        return found

    def _shortest(self, start, inside, kinds):
        """The cheapest way from start back to it: [(node, kind, why), ...]"""
        best = {start: 0}
        came = {}
        heap = [(0, start)]
        while heap:
            cost, node = heapq.heappop(heap)
            if cost > best[node]:
                continue
            if cost > best.get("home", cost):
                break
            for target, kind, why in self.edges[node]:
                if kind not in kinds or target not in inside:
                    continue
                more = COST[kind]
                if target == start:
                    if "home" not in best or cost + more < best["home"]:
                        best["home"] = cost + more
                        came["home"] = (node, kind, why)
                elif cost + more < best.get(target, cost + more + 1):
                    best[target] = cost + more
                    came[target] = (node, kind, why)
                    heapq.heappush(heap, (cost + more, target))
        if "home" not in came:
            return None
        path, at = [], "home"
        while True:
            node, kind, why = came[at]
            path.append((node, kind, why))
            if node == start:
                return best["home"], path[::-1]
            at = node

    def least_cycle(self, members):
        """
        The cycle of the gravest kind: of ww edges before wr before rw (with
        as few of these as can be), each first without real time.
        """
        inside = set(members)
        for time in ((), ("rt",)):
            for kinds in (("ww",), ("ww", "wr"), ("ww", "wr", "rw")):
                wanted = ("rw",) if "rw" in kinds else kinds[-1:]
                starts = [m for m in members
                          if any(k in wanted and t in inside
                                 for t, k, _ in self.edges[m])]
                found = None
                step = max(1, len(starts) // START_NODES)
                for start in starts[::step]:
                    cycle = self._shortest(start, inside,
                                           kinds + ("po",) + time)
                    if cycle and (found is None or cycle[0] < found[0]):
                        found = cycle
                if found:
                    return found[1]
        raise AssertionError("a component without a cycle")

    def describe(self, cycle):
        """One line of text; what only passes time on is left out."""
        parts, waiting = [], None
        for i, (node, kind, why) in enumerate(cycle):
            name = self.names[node]
            if name is not None and (kind, cycle[i - 1][1]) != ("rt", "rt"):
                if waiting:
                    parts.append("--%s-->" % waiting)
                parts.append(name)
                waiting = kind if why is None else "%s %s" % (kind, why)
        parts.append("--%s--> the first" % waiting)
        return " ".join(parts)
