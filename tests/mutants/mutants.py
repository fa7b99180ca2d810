"""Mistakes that must not go unnoticed, each as a small patch, with the fast tests that notice it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A mistake in words, and what it looks like in a file."""

    mistake: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


_BY_STEP = ("tests/revocation/test_follower_by_step.py",)
_DENYLIST = ("tests/revocation/test_denylist.py",)
_REDIS = tuple(
    f"tests/revocation/test_head.py::{name}"
    for name in (
        "test_without_a_head_there_is_no_answer_and_no_revocation",
        "test_a_head_that_is_lost_later_is_noticed_and_not_replaced_by_a_revocation",
        "test_the_first_epoch_cuts_off_what_came_before",
    )
)
_LIFETIMES = ("tests/revocation/test_lifetimes.py",)
_FOLLOWER = "revocation/redis/follower.py"
_VIEW = "revocation/redis/view.py"
_REVOKE = "revocation/redis/lua/revoke.lua"
_STRICT = "revocation/redis/denylist.py"
_REPLICAS = ("tests/revocation/test_replicas.py",)

MUTANTS = (
    # Who cannot ask
    Mutant(
        "an error is taken for yes",
        "revocation/guard.py",
        "            error = raised\n",
        "            error = raised if isinstance(raised, InvalidTokenError) else None\n",
        _BY_STEP,
    ),
    Mutant(
        "redis-py's retries are left on",
        "revocation/redis/connect.py",
        "Retry(NoBackoff(), 0)",
        "Retry(NoBackoff(), 10)",
        ("tests/revocation/test_connect.py::test_every_timeout_is_explicit_and_nothing_is_retried",),
    ),
    Mutant(
        "no head is taken for an empty deny-list",
        "revocation/redis/protocol.py",
        "            raise DenylistEmptyError\n",
        '            return cls("", 0, "0-0", "-", 0, 86_400, ())\n',
        _REDIS,
    ),
    # How old knowledge is
    Mutant(
        "a list that was lost is taken for an empty one",
        "revocation/redis/ledger.py",
        "        self._epochs.head()\n        place, _, after",
        "        place, _, after",
        ("tests/revocation/test_head.py",),
    ),
    Mutant(
        "a beat is stamped when its answer arrives",
        _FOLLOWER,
        "        view.stamp = sent\n",
        "        view.stamp = self._clock()\n",
        _BY_STEP,
    ),
    Mutant(
        "a decision reads the clock before it looks up",
        _FOLLOWER,
        "        cutoff = view.latest_cutoff(handles)\n        age = self._clock() - stamp\n",
        "        age = self._clock() - stamp\n        cutoff = view.latest_cutoff(handles)\n",
        _BY_STEP,
    ),
    Mutant(
        "a decision looks up before it reads the stamp",
        _FOLLOWER,
        "        stamp = view.stamp\n        cutoff = view.latest_cutoff(handles)\n",
        "        cutoff = view.latest_cutoff(handles)\n        stamp = self._view.stamp\n",
        _BY_STEP,
    ),
    Mutant(
        "the follower stamps first and applies last",
        _FOLLOWER,
        "        entries = streams[0][1] if streams else []\n",
        "        entries = streams[0][1] if streams else []\n        view.stamp = sent\n",
        _BY_STEP,
    ),
    Mutant(
        "a clock that stands still while the machine sleeps",
        "revocation/redis/clock.py",
        "time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)",
        "time.monotonic()",
        _BY_STEP,
    ),
    Mutant(
        "knowledge of any age will do",
        "revocation/guard.py",
        "if age < min(bound, self.follower.longest_seconds) or",
        "if age < math.inf or",
        _BY_STEP,
    ),
    # The chain
    Mutant(
        "the log is read from its end",
        _FOLLOWER,
        "{self._namespace.log: view.cursor}",
        '{self._namespace.log: view.cursor if view.position else "$"}',
        _BY_STEP,
    ),
    Mutant(
        "a missing predecessor is passed over",
        _VIEW,
        '                return "break"\n',
        "                pass\n",
        _BY_STEP,
    ),
    Mutant(
        "a counter instead of a chain: predecessors are compared by number",
        _VIEW,
        'if chained["prev"] != position:',
        'if chained["prev"].rpartition("-")[0] != position.rpartition("-")[0]:',
        _BY_STEP,
    ),
    Mutant(
        "a counter instead of a chain: the head is compared by number",
        _FOLLOWER,
        "        if end in passed or",
        '        if end.rpartition("-")[0] in {one.rpartition("-")[0] for one in passed} or',
        _BY_STEP,
    ),
    Mutant(
        "an entry of a newer form is passed over",
        _VIEW,
        '            return "unknown"\n',
        '            self._place = (id_, f"{id_}-{chained[\'tag\']}")\n            return "applied"\n',
        _BY_STEP,
    ),
    Mutant(
        "junk is taken for a break",
        _VIEW,
        '            return "junk"\n',
        '            return "break"\n',
        _BY_STEP,
    ),
    # What was lost
    Mutant(
        "a lost head opens no epoch",
        _FOLLOWER,
        "            if view.epoch is None:\n                raise\n",
        "            raise\n",
        _BY_STEP,
    ),
    Mutant(
        "a view of nothing is taken for no view",
        _FOLLOWER,
        "self._view if self._next is None else self._next",
        "self._next or self._view",
        _BY_STEP,
    ),
    Mutant(
        "what was held is forgotten with the epoch",
        _VIEW,
        "        view._unconditional = dict(self._unconditional)\n",
        "",
        _BY_STEP,
    ),
    Mutant(
        "whoever notices opens an epoch, also over a new one",
        "revocation/redis/lua/init.lua",
        "if (head and head.epoch or '') ~= ARGV[1] then return {'ok', text or ''} end\n",
        "",
        _BY_STEP,
    ),
    Mutant(
        "an epoch begins now, and not after what its noticer has seen",
        "revocation/redis/epochs.py",
        "max(int(time.time() * 1000), newest_ms) + CLOCKS_DIFFER_MS",
        "int(time.time() * 1000) + CLOCKS_DIFFER_MS",
        _BY_STEP,
    ),
    Mutant(
        "a revocation creates a head",
        "revocation/redis/lua/prelude.lua",
        "  if not text then return nil, 'empty' end\n",
        "  if not text then text = '1 made-up 0 0-0 - 0 ' .. life end\n",
        _REDIS,
    ),
    Mutant(
        "something is minted before the cut-off has passed",
        "revocation/redis/lua/prelude.lua",
        "  if now < head.everything then return nil, 'early ' .. digits(head.everything) end\n",
        "",
        _REDIS,
    ),
    Mutant(
        "a strict check believes a Redis that knows less than this process",
        _FOLLOWER,
        "if behind if head.epoch == epoch else epoch and view.has_lost(head):",
        "if False:",
        _BY_STEP,
    ),
    Mutant(
        "a strict check ignores what this process holds",
        "revocation/guard.py",
        " or is_revoked(claims, cutoff):\n",
        ":\n",
        _BY_STEP,
    ),
    Mutant(
        "entries are dropped before they are dead",
        _VIEW,
        "if (bucket + 1) * _BUCKET_SECONDS < now]",
        "if (bucket - 10) * _BUCKET_SECONDS < now]",
        _BY_STEP,
    ),
    Mutant(
        "an undo is not followed",
        _VIEW,
        "            self._drop(hash(name))\n",
        "            pass\n",
        _BY_STEP,
    ),
    # The thread
    Mutant(
        "the loop catches errors of Redis only",
        _FOLLOWER,
        "        except Exception as error:",
        "        except redis.RedisError as error:",
        _BY_STEP,
    ),
    Mutant(
        "no guard against forks",
        _FOLLOWER,
        "if self._stopped or (self._pid == os.getpid() and thread is not None and thread.is_alive()):",
        "if self._stopped or thread is not None:",
        _BY_STEP,
    ),
    Mutant(
        "a thread keeps its follower, and so its lease, for ever",
        _FOLLOWER,
        "step = weakref.WeakMethod(self._live_on)",
        "step: Any = lambda: self._live_on",
        ("tests/revocation/test_follower.py",),
    ),
    Mutant(
        "a lease is shorter than the longest bound",
        _FOLLOWER,
        "own_ms = math.ceil(1000 * (longest_seconds",
        "own_ms = math.ceil(1000 * (shortest_seconds",
        _BY_STEP,
    ),
    Mutant(
        "a receipt that counts only those who have confirmed",
        "revocation/redis/leases.py",
        "confirmed == len(leases) and",
        "",
        _BY_STEP,
    ),
    Mutant(
        "a receipt that forgets whose leases a flush took",
        "revocation/redis/leases.py",
        " and outlasted",
        "",
        _BY_STEP,
    ),
    Mutant(
        "a revocation that the log has lost is acknowledged",
        "revocation/redis/leases.py",
        'raise DenylistUnavailableError("Redis has lost this revocation since it took it: revoke again.")',
        "pass",
        _BY_STEP,
    ),
    # Replicas
    Mutant(
        "a beat without its replicas counts",
        _FOLLOWER,
        "        if self._link.min_replicas:\n",
        "        if False:\n",
        _BY_STEP,
    ),
    Mutant(
        "a strict check without WAIT",
        "revocation/redis/denylist.py",
        "        if not self.link.min_replicas:\n            return cast",
        "        if True:\n            return cast",
        _BY_STEP,
    ),
    # Entries
    Mutant(
        "an entry lives for exp without the leeway",
        "revocation/denylist.py",
        "math.ceil(expires_at) + self.leeway_seconds + self.margin_seconds",
        "math.ceil(expires_at)",
        _LIFETIMES,
    ),
    Mutant(
        "EXAT, in whole seconds, instead of what is left",
        _REVOKE,
        "redis.call('SET', key, entry, 'PX', digits(math.max(1, kept - now)))",
        "redis.call('SET', key, entry, 'EXAT', digits(math.floor(kept / 1000) - 1))",
        _BY_STEP,
    ),
    Mutant(
        "a second revocation may shorten the first",
        _REVOKE,
        "kept = math.max(expiry, now + left)",
        "kept = expiry",
        _DENYLIST,
    ),
    Mutant(
        "iat < int(cut-off)",
        "revocation/denylist.py",
        "return latest_cutoff > claims.judged_at_ms",
        "return latest_cutoff == math.inf or latest_cutoff // 1000 * 1000 > claims.judged_at_ms",
        _DENYLIST,
    ),
    Mutant(
        "in Redis, the first cut-off found counts and not the latest",
        "revocation/redis/denylist.py",
        "max([everything, *(self._cutoff(head, handle, next(texts)) for handle in handles)])",
        "next((c for c in [self._cutoff(head, h, next(texts)) for h in handles] if c > everything), everything)",
        _DENYLIST,
    ),
    Mutant(
        "in memory, the last cut-off found counts and not the latest",
        _VIEW,
        "if held is not None and held[0] > latest:",
        "if held is not None:",
        _BY_STEP,
    ),
    Mutant(
        "a token is known by the hash of its text",
        "revocation/verifier.py",
        "        self._check_issuer(claims)\n",
        '        object.__setattr__(claims, "token_id", hashlib.sha256(token.encode()).hexdigest())\n'
        "        self._check_issuer(claims)\n",
        ("tests/revocation/test_verifier.py",),
    ),
    Mutant(
        "an undo lifts what somebody else revoked",
        "revocation/redis/lua/undo.lua",
        "    kept[#kept + 1] = one\n",
        "",
        _DENYLIST,
    ),
    Mutant(
        "what was undone counts as merged",
        "revocation/redis/ledger.py",
        "if how and revocation.id not in undone:",
        "if how:",
        ("tests/revocation/test_denylist.py::test_what_was_undone_before_the_others_were_merged_stays_undone",),
    ),
    # The service
    Mutant(
        "iat at login from the app's clock",
        "app/grants.py",
        "        now_ms = self._denylist.now_ms()\n        user =",
        "        import time\n\n        now_ms = int(time.time() * 1000)\n        user =",
        ("tests/app/test_time_of_sign_in.py",),
    ),
    Mutant(
        "iat at login from after the credentials were read",
        "app/grants.py",
        "            raise InvalidCredentialsError\n        try:\n",
        "            raise InvalidCredentialsError\n        now_ms = self._denylist.now_ms()\n        try:\n",
        ("tests/app/test_time_of_sign_in.py",),
    ),
    Mutant(
        "a session begins without the one rule",
        "app/lua/create.lua",
        "if is_revoked(head, judges, since) then return {'revoked'} end\n",
        "",
        ("tests/app/test_time_of_sign_in.py",),
    ),
    Mutant(
        "a session is refreshed without the one rule",
        "app/lua/rotate.lua",
        "if is_revoked(head, judges, since) then return {'revoked'} end\n",
        "",
        ("tests/app/test_time_of_sign_in.py",),
    ),
    Mutant(
        "a refresh without compare",
        "app/lua/rotate.lua",
        "if used ~= n then return {'reuse'} end\n",
        "",
        (
            "tests/app/test_sign_in.py::test_after_the_grace_period_a_used_token_ends_the_session_and_its_access_tokens",
            "tests/app/test_sign_in.py::test_an_older_token_than_the_last_is_reuse_also_within_the_grace_period",
        ),
    ),
    # Replicas
    Mutant(
        "a change is acknowledged without its replicas",
        "revocation/redis/script.py",
        "        if not self._link.min_replicas:\n            return client.evalsha",
        "        if True:\n            return client.evalsha",
        _REPLICAS,
    ),
    Mutant(
        "WAIT on another connection than the write",
        _STRICT,
        "        self.link.add_wait(pipeline)\n        values, _, reached = pipeline.execute()\n",
        "        values, _ = pipeline.execute()\n"
        "        reached = client.wait(self.link.min_replicas, self.link._wait_ms)\n",
        _REPLICAS,
    ),
    Mutant(
        "WAIT without a write before it",
        _STRICT,
        "        pipeline.set(self.namespace.probe, 1)\n        self.link.add_wait(pipeline)\n"
        "        values, _, reached",
        "        self.link.add_wait(pipeline)\n        values, reached",
        _REPLICAS,
    ),
    Mutant(
        "as many replicas as one likes",
        "revocation/redis/epochs.py",
        "if least and least < majority(replicas):",
        "if False:",
        _REPLICAS,
    ),
    # The service
    Mutant(
        "a session is not judged by the cut-off of everything",
        "revocation/redis/lua/prelude.lua",
        "  if head.everything > since then return true end\n",
        "",
        ("tests/app/test_time_of_sign_in.py",),
    ),
    Mutant(
        "a client's token is from after its secret was checked",
        "app/routes/oauth.py",
        "now_ms=caller.now_ms))",
        "now_ms=service().stores.denylist.now_ms()))",
        ("tests/app/test_races.py",),
    ),
    Mutant(
        "an admin route is decided within the service's bound",
        "app/bearer.py",
        "bearer.required(scope=ADMIN_SCOPE, max_staleness=0)",
        "bearer.required(scope=ADMIN_SCOPE)",
        ("tests/app/test_matrix.py",),
    ),
    Mutant(
        "a refresh is used up before the database is asked",
        "app/grants.py",
        "        subject = self._sessions.subject_of(refresh_token)\n"
        "        user = self._users.get(subject) if subject is not None else None\n"
        "        rotation = self._sessions.rotate(\n"
        "            refresh_token, client_id=client_id, address=origin.address, user_agent=origin.user_agent\n"
        "        )\n",
        "        rotation = self._sessions.rotate(\n"
        "            refresh_token, client_id=client_id, address=origin.address, user_agent=origin.user_agent\n"
        "        )\n"
        "        user = self._users.get(rotation.session.subject)\n",
        ("tests/app/test_sign_in.py",),
    ),
    # What followers hold
    Mutant(
        "the gate stays open while the follower's link is down",
        _FOLLOWER,
        "                self._link.breaker.trip()\n",
        "                pass\n",
        ("tests/revocation/test_follower.py",),
    ),
    Mutant(
        "a new epoch forgets revoked keys",
        _VIEW,
        "keys, last = {*head.keys, *self._kept_keys}, order(head.last_id)",
        "keys, last = set(head.keys), order(head.last_id)",
        ("tests/revocation/test_view.py",),
    ),
    Mutant(
        "a handle is pickled with its number",
        "revocation/handles.py",
        "    def __reduce__(self)",
        "    def unused(self)",
        ("tests/revocation/test_handle.py",),
    ),
    Mutant(
        "a cut-off may lie ahead of the clock",
        _REVOKE,
        "  if (tonumber(ARGV[i + 1]) or 0) > now + 1 then return {'ahead'} end\n",
        "",
        _DENYLIST,
    ),
)
