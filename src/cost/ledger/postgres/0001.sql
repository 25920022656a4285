-- Accounts, holds and entries. Amounts are whole picodollars. Every change of an account goes
-- through one of the functions below, each of which is one transaction of the caller.

CREATE TABLE completions_accounts (
    name    text PRIMARY KEY,
    granted numeric,                        -- null: without a limit
    held    numeric NOT NULL DEFAULT 0,
    spent   numeric NOT NULL DEFAULT 0,
    overrun numeric NOT NULL DEFAULT 0,
    CHECK (held >= 0 AND spent >= 0 AND overrun >= 0),
    CHECK (granted IS NULL OR granted - held - spent >= 0)
);

-- A closed hold stays for a day: it makes settling by id idempotent, and keeps a hold from opening
-- that was given up while it was on its way.
CREATE TABLE completions_holds (
    id      uuid PRIMARY KEY,
    account text NOT NULL,
    node    integer NOT NULL,
    amount  numeric NOT NULL,
    state   text NOT NULL CHECK (state IN ('open', 'closed', 'voided')),
    changed timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX completions_holds_open ON completions_holds (node) WHERE state = 'open';
CREATE INDEX completions_holds_ended ON completions_holds (changed) WHERE state <> 'open';

CREATE TABLE completions_entries (
    number    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account   text NOT NULL,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind      text NOT NULL
        CHECK (kind IN ('granted', 'held', 'extended', 'settled', 'released', 'voided')),
    hold      uuid,
    amount    numeric NOT NULL,             -- granted, held, added, or what the ended hold had
    charged   numeric NOT NULL DEFAULT 0,
    overrun   numeric NOT NULL DEFAULT 0,
    used      numeric NOT NULL DEFAULT 0,   -- of a grant: what was used before without a limit
    reference text
);
CREATE INDEX completions_entries_account ON completions_entries (account, number);
CREATE UNIQUE INDEX completions_entries_grants ON completions_entries (account, reference)
    WHERE kind = 'granted';

-- 'limited' or 'unlimited' with the hold taken, 'insufficient' or 'unpriced' without.
CREATE FUNCTION completions_hold(
    p_id uuid, p_account text, p_node integer, p_amount numeric, p_unknown boolean
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_granted numeric;
BEGIN
    LOOP
        UPDATE completions_accounts SET held = held + p_amount
            WHERE name = p_account
              AND (granted IS NULL
                   OR (NOT p_unknown AND granted - held - spent >= p_amount))
            RETURNING granted INTO v_granted;
        EXIT WHEN FOUND;
        SELECT granted INTO v_granted FROM completions_accounts WHERE name = p_account;
        IF FOUND AND v_granted IS NOT NULL THEN
            RETURN CASE WHEN p_unknown THEN 'unpriced' ELSE 'insufficient' END;
        END IF;
        INSERT INTO completions_accounts (name) VALUES (p_account) ON CONFLICT DO NOTHING;
    END LOOP;
    IF p_amount > 0 THEN
        INSERT INTO completions_holds (id, account, node, amount, state)
            VALUES (p_id, p_account, p_node, p_amount, 'open');
        INSERT INTO completions_entries (account, kind, hold, amount)
            VALUES (p_account, 'held', p_id, p_amount);
    END IF;
    RETURN CASE WHEN v_granted IS NULL THEN 'unlimited' ELSE 'limited' END;
END $$;

-- 'extended', 'insufficient', or 'closed' when the hold has ended.
CREATE FUNCTION completions_extend(
    p_id uuid, p_account text, p_node integer, p_amount numeric
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_state text;
BEGIN
    -- A hold of nothing was not written: it is now, unless it was given up.
    INSERT INTO completions_holds (id, account, node, amount, state)
        VALUES (p_id, p_account, p_node, 0, 'open') ON CONFLICT DO NOTHING;
    SELECT state INTO v_state FROM completions_holds WHERE id = p_id FOR UPDATE;
    IF v_state <> 'open' THEN
        RETURN 'closed';
    END IF;
    UPDATE completions_accounts SET held = held + p_amount
        WHERE name = p_account AND (granted IS NULL OR granted - held - spent >= p_amount);
    IF NOT FOUND THEN
        RETURN 'insufficient';
    END IF;
    UPDATE completions_holds SET amount = amount + p_amount WHERE id = p_id;
    INSERT INTO completions_entries (account, kind, hold, amount)
        VALUES (p_account, 'extended', p_id, p_amount);
    RETURN 'extended';
END $$;

-- Ends holds, each once: with a charge, or released where the charge is null. Returns those that
-- ended now. A voided hold is still charged, from the balance: its request went on after all.
CREATE FUNCTION completions_settle(p_ids uuid[], p_accounts text[], p_charges numeric[])
RETURNS TABLE (id uuid, account text, held numeric, charged numeric, overrun numeric)
LANGUAGE plpgsql AS $$
DECLARE
    r record;
    v_granted numeric;
    v_held numeric;
    v_spent numeric;
BEGIN
    -- In one order everywhere, so that two nodes do not wait for each other.
    FOR r IN
        SELECT t.id, t.account, t.charge
        FROM unnest(p_ids, p_accounts, p_charges) AS t (id, account, charge)
        ORDER BY t.account, t.id
    LOOP
        held := 0;
        UPDATE completions_holds h SET state = 'closed', changed = clock_timestamp()
            WHERE h.id = r.id AND h.state = 'open' RETURNING h.amount INTO held;
        IF NOT FOUND THEN
            held := 0;
            UPDATE completions_holds h SET state = 'closed', changed = clock_timestamp()
                WHERE h.id = r.id AND h.state = 'voided' AND r.charge IS NOT NULL;
            IF NOT FOUND THEN
                -- Never opened, or not yet: nothing opens under this id from now on.
                INSERT INTO completions_holds (id, account, node, amount, state)
                    VALUES (r.id, r.account, 0, 0, 'closed') ON CONFLICT DO NOTHING;
                CONTINUE WHEN NOT FOUND OR r.charge IS NULL;
            END IF;
        END IF;
        INSERT INTO completions_accounts AS a (name) VALUES (r.account) ON CONFLICT DO NOTHING;
        SELECT a.granted, a.held, a.spent INTO v_granted, v_held, v_spent
            FROM completions_accounts a WHERE a.name = r.account FOR UPDATE;
        charged := greatest(coalesce(r.charge, 0), 0);
        overrun := 0;
        IF v_granted IS NOT NULL THEN
            overrun := greatest(charged - (v_granted - v_held - v_spent + held), 0);
            charged := charged - overrun;
        END IF;
        UPDATE completions_accounts a
            SET held = a.held - completions_settle.held,
                spent = a.spent + completions_settle.charged,
                overrun = a.overrun + completions_settle.overrun
            WHERE a.name = r.account;
        INSERT INTO completions_entries (account, kind, hold, amount, charged, overrun)
            VALUES (r.account, CASE WHEN r.charge IS NULL THEN 'released' ELSE 'settled' END,
                    r.id, held, charged, overrun);
        id := r.id;
        account := r.account;
        RETURN NEXT;
    END LOOP;
END $$;

-- Releases the open holds of a node that is gone.
CREATE FUNCTION completions_void(p_node integer)
RETURNS TABLE (id uuid, account text, held numeric)
LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN
        SELECT h.id, h.account FROM completions_holds h
        WHERE h.node = p_node AND h.state = 'open' ORDER BY h.account, h.id
    LOOP
        UPDATE completions_holds h SET state = 'voided', changed = clock_timestamp()
            WHERE h.id = r.id AND h.state = 'open' RETURNING h.amount INTO held;
        CONTINUE WHEN NOT FOUND;
        UPDATE completions_accounts a SET held = a.held - completions_void.held
            WHERE a.name = r.account;
        INSERT INTO completions_entries (account, kind, hold, amount)
            VALUES (r.account, 'voided', r.id, held);
        id := r.id;
        account := r.account;
        RETURN NEXT;
    END LOOP;
END $$;

-- Credits an account once for a reference; whether that was now. What an account without a limit has
-- used before is credited too: it was free to.
CREATE FUNCTION completions_grant(p_account text, p_amount numeric, p_reference text)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_used numeric;
BEGIN
    INSERT INTO completions_accounts (name) VALUES (p_account) ON CONFLICT DO NOTHING;
    SELECT CASE WHEN granted IS NULL THEN held + spent ELSE 0 END INTO v_used
        FROM completions_accounts WHERE name = p_account FOR UPDATE;
    INSERT INTO completions_entries (account, kind, amount, used, reference)
        VALUES (p_account, 'granted', p_amount, v_used, p_reference)
        ON CONFLICT (account, reference) WHERE kind = 'granted' DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE completions_accounts SET granted = coalesce(granted, 0) + p_amount + v_used
        WHERE name = p_account;
    RETURN true;
END $$;
