-- What all amounts are of: one row. Tables that were used before there was a choice have US dollars.

CREATE TABLE completions_currency (
    code text NOT NULL CHECK (code ~ '^[A-Z]{3}$')
);
CREATE UNIQUE INDEX completions_currency_one ON completions_currency ((true));

INSERT INTO completions_currency (code)
    SELECT 'USD' WHERE EXISTS (SELECT FROM completions_accounts);
