"""Mistakes that must not go unnoticed, each as a small patch, with the fast tests that notice it."""

from dataclasses import dataclass

from tests.search.known import KNOWN


@dataclass(frozen=True)
class Mutant:
    """A mistake in words, and what it looks like in a file."""

    mistake: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


_KINDS = ("tests/revocation/test_handle_kinds.py",)
_BY_STEP = ("tests/revocation/test_follower_by_step.py",)
_IN_MEMORY = ("tests/revocation/test_view.py",)
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
_PRELUDE = "revocation/redis/lua/prelude.lua"
_INIT = "revocation/redis/lua/init.lua"
_EPOCHS = "revocation/redis/epochs.py"
_REMOTE_KEYS = "tests/revocation/test_remote_keys.py"
_LEASES = "revocation/redis/leases.py"


def _row(name: str) -> tuple[str, ...]:
    """The row of tests/search/known.py that begins so, played on Valkey."""
    (known,) = [known for known in KNOWN if known.startswith(name)]
    return (f"tests/search/test_search.py::test_what_was_seen_once_does_not_come_back[valkey-{known}]",)


MUTANTS = (
    # Kinds of an application's own
    Mutant(
        "a strict check passes over a kind that its process was not told of",
        "revocation/redis/head.py",
        "for kind in self.kinds if told != EVERY_KIND else ():",
        "for kind in ():",
        _KINDS,
    ),
    Mutant(
        "a script passes over a kind that its caller was not told of",
        _PRELUDE,
        "    if not has_kind(TOLD, kind) then",
        "    if false then",
        _KINDS,
    ),
    Mutant(
        "a kind is withdrawn while something is revoked by it",
        _STRICT,
        "        if names:\n            listed",
        "        if False:\n            listed",
        _KINDS,
    ),
    Mutant(
        "a kind is withdrawn whatever was revoked meanwhile",
        _INIT,
        "if head and as_of ~= '' and head.last",
        "if head and false and head.last",
        _KINDS,
    ),
    Mutant(
        "a kind is declared with two meanings",
        _INIT,
        "if has_kind(so_far, other) then",
        "if false then",
        _KINDS,
    ),
    Mutant(
        "whoever opens a closed deny-list declares what was withdrawn",
        _INIT,
        "found == 'closed' and mode == 'loss' and '' or declared",
        "declared",
        _KINDS,
    ),
    Mutant(
        "a log that misses lines is taken for the whole one",
        "revocation/redis/ledger.py",
        "        if not is_reached:\n",
        "        if False:\n",
        _KINDS,
    ),
    Mutant(
        "a claim that can name no handle is passed over",
        "revocation/claims.py",
        "    return _identifier({claim: member}, claim) or _missing({claim: member}, claim)",
        "    return str(member)",
        _KINDS,
    ),
    Mutant(
        "a member of what is no object is passed over",
        "revocation/claims.py",
        "        if not all(isinstance(each, Mapping) for each in found):\n",
        "        found = [each for each in found if isinstance(each, Mapping)]\n        if False:\n",
        _KINDS,
    ),
    Mutant(
        "of a list the first member alone names a handle",
        "revocation/claims.py",
        "for each in (value if isinstance(value, list | tuple) else (value,))]\n        if",
        "for each in (value[:1] if isinstance(value, list | tuple) else (value,))]\n        if",
        ("tests/revocation/test_protocol_vectors.py",),
    ),
    Mutant(
        "a requirement of Django is dropped where the middleware does not see its mark",
        "revocation/django.py",
        "refusal = None if _is_met(request, needed) else _ruled(request, needed)",
        "refusal = None",
        ("tests/adapters/test_requirements.py",),
    ),
    # Who cannot ask
    Mutant(
        "an error is taken for yes",
        "revocation/guard.py",
        "            error = cutoff\n",
        "            error = None\n",
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
        "revocation/redis/head.py",
        "            raise DenylistEmptyError\n",
        '            return cls("", (), "0-0", "-", 0, "0-0", 0, ("-", "-"), 0, Lifetimes(), 60_000, 0, 0, "")\n',
        _REDIS,
    ),
    # How old knowledge is
    Mutant(
        "a list that was lost is taken for an empty one",
        "revocation/redis/ledger.py",
        "        self._epochs.head()\n        sheet = ",
        "        sheet = ",
        ("tests/revocation/test_head.py",),
    ),
    Mutant(
        "a head that has changed is taken for the one of before",
        "revocation/redis/epochs.py",
        "if head is None or known != text or asked_for",
        "if head is None or asked_for",
        ("tests/revocation/test_head.py",),
    ),
    Mutant(
        "a receipt is content with the first look",
        "revocation/redis/leases.py",
        "if enforced or elapsed >= seconds:",
        "if looks or elapsed >= seconds:",
        ("tests/revocation/test_leases.py",),
    ),
    Mutant(
        "a follower does not know what its own process revoked",
        _FOLLOWER,
        "        denylist.attach(self)\n",
        "",
        _BY_STEP,
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
        "        cutoff = view.latest_cutoff(handles)\n        if self._overlay:\n"
        "            cutoff = max(cutoff, self._own_cutoff(handles))\n        age = self._clock() - stamp\n",
        "        age = self._clock() - stamp\n        cutoff = view.latest_cutoff(handles)\n        if self._overlay:\n"
        "            cutoff = max(cutoff, self._own_cutoff(handles))\n",
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
        "        before = view.position or FROM_START\n        passed = self._apply",
        "        before = view.position or FROM_START\n        view.stamp = sent\n        passed = self._apply",
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
        '            return "break"\n',
        "            begins = True\n",
        _BY_STEP,
    ),
    Mutant(
        "a counter instead of a chain: predecessors are compared by number",
        _VIEW,
        "        position = self.position or FROM_START\n",
        "        position = self.position or FROM_START\n"
        '        if position.rpartition("-")[0] == chained["prev"].rpartition("-")[0]:\n'
        '            position = chained["prev"]\n',
        _BY_STEP,
    ),
    Mutant(
        "a counter instead of a chain: the head is compared by number",
        _FOLLOWER,
        "        if passed is None:\n            return\n",
        "        if passed is None:\n            return\n"
        '        numbers = {one.rpartition("-")[0] for one in passed}\n'
        '        passed |= {end for end in (head.end, view.expected) if end and end.rpartition("-")[0] in numbers}\n',
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
        "the epoch after a loss accepts what was issued before it",
        _EPOCHS,
        '            "loss",\n            seen=seen,\n',
        '            "loss",\n            accept_existing=True,\n            seen=seen,\n',
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
        _IN_MEMORY,
    ),
    Mutant(
        "whoever notices opens an epoch, also over a new one",
        "revocation/redis/lua/init.lua",
        "if found ~= expected then return {'ok', text or '', 0} end\n",
        "",
        _BY_STEP,
    ),
    Mutant(
        "an epoch begins now, and not after what its noticer has seen",
        "revocation/redis/lua/init.lua",
        "  if instant <= T + leeway then cutoff = math.max(cutoff, instant) end\n",
        "",
        _BY_STEP,
    ),
    Mutant(
        "a revocation creates a head",
        _PRELUDE,
        "  if not text then return nil, 'empty' end\n",
        "  if not text then\n"
        "    text = '2 made-up - 0-0 - 0 0-0 0 - - 0 ' .. digits(LIFE) .. ' ' .. digits(LEEWAY) .. ' 60 '\n"
        "      .. digits(SESSION) .. ' 60000 0 0'\n"
        "  end\n",
        _REDIS,
    ),
    Mutant(
        "something is minted before the cut-off has passed",
        "revocation/redis/lua/prelude.lua",
        "  if T <= head.everything then return nil, 'early ' .. digits(head.everything) end\n",
        "",
        _REDIS,
    ),
    Mutant(
        "a strict check believes a Redis that knows less than this process",
        _FOLLOWER,
        "        if behind:\n",
        "        if False:\n",
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
        _IN_MEMORY,
    ),
    Mutant(
        "an undo is not followed",
        _VIEW,
        "        if in_force is None:\n            self._drop(hash(name))\n",
        "        if in_force is None:\n            pass\n",
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
        "self._leases.own_ms, lease_ms(longest_seconds))",
        "self._leases.own_ms, lease_ms(shortest_seconds))",
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
        "            self._link.require_replicas(answers[2])\n",
        "            pass\n",
        _BY_STEP,
    ),
    Mutant(
        "a strict check without WAIT",
        "revocation/redis/link.py",
        "            self.require_replicas(answers[-1])\n",
        "            pass\n",
        _REPLICAS,
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
        "revocation/redis/lua/prelude.lua",
        "'PX', digits(math.max(1, ttl)))",
        "'EXAT', digits(math.floor((T + math.max(1, ttl)) / 1000) - 1))",
        _BY_STEP,
    ),
    Mutant(
        "a second revocation may shorten the first",
        _REVOKE,
        "    current.ttl = math.max(current.ttl, step.ttl)\n",
        "    current.ttl = step.ttl\n",
        _DENYLIST,
    ),
    Mutant(
        "iat < int(cut-off)",
        "revocation/denylist.py",
        "return latest_cutoff > issued_at_ms",
        "return latest_cutoff == math.inf or latest_cutoff // 1000 * 1000 > issued_at_ms",
        _DENYLIST,
    ),
    Mutant(
        "in Redis, the first cut-off found counts and not the latest",
        "revocation/redis/denylist.py",
        "cutoffs.append(max([float(head.everything_ms), *in_force]))",
        "everything = float(head.everything_ms)\n"
        "            cutoffs.append(next((each for each in in_force if each > everything), everything))",
        _DENYLIST,
    ),
    Mutant(
        "in memory, the last cut-off found counts and not the latest",
        _VIEW,
        "elif held[0] > latest:",
        "else:",
        _BY_STEP,
    ),
    Mutant(
        "a token is known by the hash of its text",
        "revocation/verifier.py",
        "        self._check_issuer(claims)\n",
        '        object.__setattr__(claims, "token_id", str(hash(token)))\n        self._check_issuer(claims)\n',
        ("tests/revocation/test_verifier.py",),
    ),
    # Keys of others
    Mutant(
        "each unknown key causes a fetch",
        "revocation/remote_keys.py",
        "self._caused_at + PAUSE_SECONDS if caused",
        "self._caused_at if caused",
        (f"{_REMOTE_KEYS}::test_made_up_keys_cause_one_fetch_in_ten_seconds",),
    ),
    Mutant(
        "an issuer that does not answer takes its keys along",
        "revocation/remote_keys.py",
        "        if self._issuer is not None:\n            self._url = None\n",
        "        if self._issuer is not None:\n            self._url = None\n        self._keys = KeySet([])\n",
        (f"{_REMOTE_KEYS}::test_a_provider_that_is_down_for_a_minute_changes_nothing",),
    ),
    Mutant(
        "the metadata of any issuer leads to the keys",
        "revocation/discovery.py",
        "    if named != issuer:\n",
        "    if named is None:\n",
        (f"{_REMOTE_KEYS}::test_metadata_that_is_another_issuers_or_leads_elsewhere_is_not_followed",),
    ),
    Mutant(
        "keys are read without TLS from anywhere",
        "revocation/https.py",
        "self._http_on_loopback and is_loopback(host)",
        "self._http_on_loopback",
        (f"{_REMOTE_KEYS}::test_http_is_for_loopback",),
    ),
    Mutant(
        "a fetch that never ends keeps everybody from the next",
        "revocation/remote_keys.py",
        "if time.monotonic() < here.given_up_at:",
        "if here.fetch:",
        (f"{_REMOTE_KEYS}::test_a_fetch_that_never_ends_keeps_nobody_from_the_next",),
    ),
    Mutant(
        "an event loop waits for an issuer",
        "revocation/remote_keys.py",
        "            raise KeysPendingError(fetch, left)\n",
        "",
        (f"{_REMOTE_KEYS}::test_no_event_loop_waits_for_an_issuer",),
    ),
    Mutant(
        "the issuer that a token names is believed",
        "revocation/verifier.py",
        "        if claims.issuer != self.issuer:\n",
        "        if not claims.issuer:\n",
        ("tests/revocation/test_verifier.py",),
    ),
    Mutant(
        "without an audience every audience is ours",
        "revocation/verifier.py",
        "            if claims.audience:\n",
        "            if False:\n",
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
        "a page begins where the one before ended, whatever has moved since",
        "revocation/redis/lasting.py",
        "            if begin and (not read or place.is_before(*read[0])):\n",
        "            if False:\n",
        ("tests/revocation/test_ledger.py::test_undoing_a_batch_page_by_page_leaves_nothing_of_it",),
    ),
    Mutant(
        "what was undone counts as merged",
        "revocation/redis/ledger.py",
        "if word and revocation.id not in undone:",
        "if word:",
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
        "            return self.sign_in(username, password, origin=origin)\n",
        "            return self.sign_in(username, password, origin=origin)\n"
        "        now_ms = self._denylist.now_ms()\n",
        ("tests/app/test_time_of_sign_in.py",),
    ),
    Mutant(
        "a session begins without the one rule",
        "app/lua/create.lua",
        "if is_revoked(head, {unpack(KEYS, 6)}, since) then return {'revoked'} end\n",
        "",
        ("tests/app/test_time_of_sign_in.py",),
    ),
    Mutant(
        "a session is refreshed without the one rule",
        "app/lua/rotate.lua",
        "if is_revoked(head, {unpack(KEYS, 6)}, since) then return {'revoked'} end\n",
        "",
        ("tests/app/test_time_of_sign_in.py",),
    ),
    Mutant(
        "a refresh believes a Redis that knows less than this process",
        "app/grants.py",
        "        # This process may have heard of a revocation since, which came too late for the rotation.\n"
        "        self._require_agreement(presented.session)\n",
        "",
        ("tests/app/test_refreshing.py",),
    ),
    Mutant(
        "a refresh that cannot be decided has used its token up",
        "app/grants.py",
        "        self._require_agreement(presented.session)\n        rotation =",
        "        rotation =",
        ("tests/app/test_refreshing.py",),
    ),
    Mutant(
        "a refresh without compare",
        "app/lua/rotate.lua",
        "if given ~= n and not has_grace(given) then return {'reuse'} end\n",
        "",
        (
            "tests/app/test_sign_in.py::test_after_the_grace_period_a_used_token_ends_the_session_and_its_access_tokens",
            "tests/app/test_refreshing.py",
        ),
    ),
    Mutant(
        "grace counts from the last rotation, whichever token it was",
        "app/lua/rotate.lua",
        "    if number <= use.n then return T - use.at <= grace end\n",
        "    if number <= use.n then return T - rotated <= grace end\n",
        ("tests/app/test_refreshing.py",),
    ),
    Mutant(
        "an earlier token than the last has no grace",
        "app/lua/rotate.lua",
        "given ~= n and not has_grace(given)",
        "given ~= n and not (given == n - 1 and has_grace(given))",
        ("tests/app/test_refreshing.py",),
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
        "WAIT without a write before it",
        "revocation/redis/link.py",
        '(("SET", probe, 1), ("WAIT", self.min_replicas, self._wait_ms))',
        '(("WAIT", self.min_replicas, self._wait_ms),)',
        _REPLICAS,
    ),
    Mutant(
        "as many replicas as one likes",
        "revocation/redis/epochs.py",
        "if least and least < majority(most):",
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
        "two administrators that disable each other do not wait for each other",
        "app/users.py",
        "sa.select(UserRow.username).where(_ADMINISTERS).order_by(UserRow.username).with_for_update()",
        "sa.select(UserRow.username).where(_ADMINISTERS).order_by(UserRow.username)",
        ("tests/app/test_administrators.py::test_of_two_administrators_that_take_it_from_each_other_one_is_left",),
    ),
    Mutant(
        "rows are not read to the end",
        "app/users.py",
        "session.scalars(administrators).all()",
        "session.execute(administrators)",
        ("tests/app/test_database.py::test_who_has_waited_and_was_refused_writes_after_somebody_else_has",),
    ),
    Mutant(
        "who signs in to an account of their own is forgiven what they failed at others",
        "app/lua/throttle.lua",
        "move(one, -math.min(own + (one == account and turn_ends and 1 or 0), failures(one)))",
        "move(one, -failures(one))",
        ("tests/attacks/test_service_guessing.py",),
    ),
    Mutant(
        "a name that nobody has is listed as a locked account",
        "app/routes/auth.py",
        "exists=lambda: service().stores.users.get(username) is not None",
        "exists=lambda: True",
        ("tests/app/test_administrators.py",),
    ),
    Mutant(
        "a known device shares the bucket of strangers",
        "app/lua/throttle.lua",
        "bucket(KEYS[1], 'devices', 'account')",
        "account",
        ("tests/attacks/test_service_guessing.py",),
    ),
    Mutant(
        "a client's token is from after its secret was checked",
        "app/routes/oauth.py",
        "now_ms=now_ms))",
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
        "        granted = self._granted(presented.session)\n        if granted is None:\n            raise",
        "        self._sessions.rotate(presented, address=origin.address, user_agent=origin.user_agent)\n"
        "        granted = self._granted(presented.session)\n        if granted is None:\n            raise",
        ("tests/app/test_sign_in.py",),
    ),
    Mutant(
        "a session outlives its disabled account where somebody undoes the revocation",
        "app/debts.py",
        "        if debt.ends_sessions:\n",
        "        if False:\n",
        ("tests/app/test_admin.py",),
    ),
    Mutant(
        "a late payment takes back the sessions of who signed in since",
        "app/debts.py",
        "            cutoff_ms = session.scalar(sa.select(DebtRow.cutoff_ms).where(this))\n",
        "            cutoff_ms = now_ms\n",
        ("tests/app/test_debts.py::test_whoever_signs_in_by_the_new_password_pays_first_and_stays_signed_in[sqlite]",),
    ),
    Mutant(
        "a session begins before what is owed is paid",
        "app/grants.py",
        "            self._settle(user.username)\n            return self.sign_in(",
        "            self._settle(user.username)\n            user or self.sign_in(",
        ("tests/app/test_debts.py::test_whoever_signs_in_by_the_new_password_pays_first_and_stays_signed_in[sqlite]",),
    ),
    Mutant(
        "a refresh by an account that owes",
        "app/grants.py",
        "        if user.owes:\n            self._settle(user.username)\n        return",
        "        return",
        ("tests/app/test_debts.py::test_a_refresh_of_an_account_that_owes_gets_nothing_out_of_it[sqlite]",),
    ),
    Mutant(
        "a user has as many sessions as somebody likes",
        "app/sessions.py",
        "        if count > MOST_SESSIONS:\n",
        "        if False:\n",
        ("tests/app/test_session_bounds.py",),
    ),
    Mutant(
        "what has ended stays in the indexes",
        "revocation/redis/lua/revoke.lua",
        "    for index = 7 + 2 * count, #KEYS do\n",
        "    for index = 7 + 2 * count, 0 do\n",
        ("tests/app/test_session_bounds.py",),
    ),
    Mutant(
        "a token that outlives its entry is accepted",
        "revocation/guard.py",
        "                self.denylist.lifetimes.require_bounded(claims, now=self._clock())\n",
        "                pass\n",
        ("tests/revocation/test_guard.py",),
    ),
    # Event loops
    Mutant(
        "an event loop waits for Redis",
        "revocation/guard.py",
        "cutoff = await self._asker.latest_cutoff(decision.handles)\n",
        "cutoff = self._ask([decision.handles])[0]\n",
        ("tests/revocation/test_asker.py",),
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
        "        view._unconditional = dict(self._unconditional)\n",
        "        view._unconditional = {}\n",
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
        "    if cutoff > now then return {'ahead'} end\n",
        "",
        _DENYLIST,
    ),
    # The deny-list's clock, and what the scripts write
    Mutant(
        "a token is minted and the clock is not raised",
        "revocation/redis/lua/mint.lua",
        "write_clock(KEYS[2], math.max(issued, iat), cutoff)\n",
        "",
        _row("second: Redis' clock was ahead"),
    ),
    Mutant(
        "a cut-off is not later than every iat handed out",
        _REVOKE,
        "local now = math.max(T, H, issued) + 1\n",
        "local now = math.max(T, H) + 1\n",
        _row("second: Redis' clock was ahead"),
    ),
    Mutant(
        "a cut-off goes by Redis' clock alone",
        _REVOKE,
        "local now = math.max(T, H, issued) + 1\n",
        "local now = T + 1\n",
        _row("5: Redis' clock steps back by more"),
    ),
    Mutant(
        "a token is dead where Redis' clock alone says so",
        _REVOKE,
        "if ends <= T and ends <= H then",
        "if ends <= T then",
        _row("5: Redis' clock is ahead"),
    ),
    Mutant(
        "what is in force already is written again",
        _REVOKE,
        "if one.mark == mark and one.cutoff >= cutoff and",
        "if false and",
        _row("13: the same revocation twice"),
    ),
    Mutant(
        "an end that counts from now is not rounded up",
        _REVOKE,
        "(math.floor(ends / HOUR) + 2) * HOUR - from",
        "ends - from",
        _row("second: a session revoked twice"),
    ),
    Mutant(
        "a second logout does not know that the record is gone",
        _REVOKE,
        "return is_ended and 1 or ends - from,",
        "return ends - from,",
        _row("13: the same session ended twice"),
    ),
    # The log, and what outlives it
    Mutant(
        "a break is judged by the floor on one side only",
        _VIEW,
        'max(order(chained["prev"]), order(position)) > order(head.floor)',
        'order(chained["prev"]) > order(head.floor)',
        _row("second: a loss is hidden"),
    ),
    Mutant(
        "a line's instant goes by Redis' clock alone",
        _PRELUDE,
        "head.at = math.max(T, math.min(H, T + 1000 * head.session), head.at)\n",
        "head.at = math.max(T, head.at)\n",
        _row("second: Redis' clock was behind"),
    ),
    Mutant(
        "who begins to follow does not read what outlives the log",
        _VIEW,
        "self._hold(revocation.handle.number, UNCONDITIONAL, now + left, weakening=False)\n",
        "pass\n",
        _row("second: what outlives the log"),
    ),
    Mutant(
        "a follower that was overtaken by the beginning of the log reads on",
        _VIEW,
        'if chained["prev"] != position and not begins:',
        "if False:",
        _row("second: a follower that stood still"),
    ),
    # Epochs
    Mutant(
        "any other epoch is taken",
        _VIEW,
        "return self.epoch is None or self.epoch == head.epoch or self.epoch in head.replaced\n",
        "return True\n",
        _row("second: an older epoch is back"),
    ),
    Mutant(
        "who opens an epoch after a loss writes its own wishes",
        _EPOCHS,
        "settings=None if last is None else last.settings,",
        "settings=None,",
        _row("second: a lost head is opened anew"),
    ),
    # Revoked keys
    Mutant(
        "keys are given back by name",
        _PRELUDE,
        "held = held or stands_for(one, id) end\n",
        "held = true end\n",
        _row("second: a key that was revoked again"),
    ),
    Mutant(
        "keys that were known in the epoch before are not given back",
        _VIEW,
        "view.remembered = self.remembered | self.keys\n        for",
        "view.remembered = {}\n        for",
        _row("second: a key is given back"),
    ),
    Mutant(
        "keys that were given back are forgotten at once",
        _FOLLOWER,
        "        view.given_back_at = self._clock()\n",
        "        view.remembered = {}\n",
        _row("second: keys that were given back are lost again"),
    ),
    # Receipts
    Mutant(
        "a receipt does not ask since when the server reigns",
        _LEASES,
        "since = max(birth_ms, reign_ms or 0)\n",
        "since = birth_ms\n",
        _row("8: enforced too early after a restart"),
    ),
    Mutant(
        "only the last batch is confirmed",
        _STRICT,
        "for written in writes if revocations else ():",
        "for written in writes[-1:] if revocations else ():",
        _row("8: a bulk"),
    ),
    Mutant(
        "a watch does not look whether a line follows from the one before",
        "revocation/cli/log_watch.py",
        'if link["prev"] != position and not self._begins:',
        "if False:",
        ("tests/revocation/test_log_watch.py::test_a_line_that_somebody_took_away_is_missed_aloud[valkey]",),
    ),
    # The audit is the log
    Mutant(
        "a line of the log that was copied before is counted again",
        "app/audit_copier.py",
        "            if change.id in new:\n",
        "            if True:\n",
        ("tests/app/test_audit_copier.py::test_another_epoch_of_the_same_log_copies_nothing_twice[sqlite]",),
    ),
    Mutant(
        "lines of the log that went before they were copied are passed over",
        "app/audit_copier.py",
        "if position is not None and order(floor) > order(position.log_id):",
        "if False:",
        (
            "tests/app/test_audit_copier.py::test_lines_that_went_before_they_were_copied_are_named_in_the_audit[sqlite]",
        ),
    ),
    # Who may vouch
    Mutant(
        "a strict check does not end with WAIT",
        "revocation/redis/link.py",
        "        elif self.is_server:\n",
        "        elif not self.is_server:\n",
        _row("6: a demoted server vouches"),
    ),
    Mutant(
        "connections to the wrong server are kept",
        "revocation/redis/link.py",
        "            drop_connections(self._server)\n",
        "            pass\n",
        _row("6: whoever was connected"),
    ),
    Mutant(
        "replicas that join later are not counted",
        _FOLLOWER,
        "if self._replicas > head.replicas:",
        "if False:",
        _row("7: both sides"),
    ),
    Mutant(
        "a batch of a bulk is not looked for where nobody follows",
        _STRICT,
        "is_latest=written is writes[-1])",
        "is_latest=True)",
        _row("second: a bulk"),
    ),
)
