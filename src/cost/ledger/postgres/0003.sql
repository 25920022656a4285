-- A hold that is committed while its end waits for that is ended too, and a hold is ended only in the
-- name of its own account.

CREATE OR REPLACE FUNCTION completions_settle(p_ids uuid[], p_accounts text[], p_charges numeric[])
RETURNS TABLE (id uuid, account text, held numeric, charged numeric, overrun numeric)
LANGUAGE plpgsql AS $$
DECLARE
    r record;
    v_ended boolean;
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
        v_ended := true;
        LOOP
            UPDATE completions_holds h SET state = 'closed', changed = clock_timestamp()
                WHERE h.id = r.id AND h.account = r.account AND h.state = 'open'
                RETURNING h.amount INTO held;
            EXIT WHEN FOUND;
            held := 0;
            UPDATE completions_holds h SET state = 'closed', changed = clock_timestamp()
                WHERE h.id = r.id AND h.account = r.account AND h.state = 'voided'
                  AND r.charge IS NOT NULL;
            EXIT WHEN FOUND;
            -- Never opened, or not yet: nothing opens under this id from now on. Where somebody is
            -- opening it, this waits until that is done.
            INSERT INTO completions_holds (id, account, node, amount, state)
                VALUES (r.id, r.account, 0, 0, 'closed') ON CONFLICT DO NOTHING;
            IF FOUND THEN
                v_ended := r.charge IS NOT NULL;
                EXIT;
            END IF;
            PERFORM FROM completions_holds h
                WHERE h.id = r.id AND h.account = r.account
                  AND (h.state = 'open' OR h.state = 'voided' AND r.charge IS NOT NULL);
            IF NOT FOUND THEN
                -- It has ended before.
                v_ended := false;
                EXIT;
            END IF;
        END LOOP;
        CONTINUE WHEN NOT v_ended;
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
