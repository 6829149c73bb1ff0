-- The tables of the pipeline $name. Each needs a primary key; types that cannot arrive exactly are refused by name.
CREATE TABLE ${name}_documents (
    id bigint PRIMARY KEY,
    customer text NOT NULL,
    total numeric(12, 2) NOT NULL,
    paid boolean NOT NULL,
    issued_at timestamptz NOT NULL
);

CREATE TABLE ${name}_lines (
    document_id bigint,
    line_no integer,
    article text NOT NULL,
    quantity integer NOT NULL,
    note text,
    PRIMARY KEY (document_id, line_no)
);
