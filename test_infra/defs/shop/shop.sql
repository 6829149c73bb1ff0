-- The tables of the built-in pipeline: one of each type that a shop has.
CREATE TABLE customers (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    email varchar(120),
    active boolean NOT NULL,
    reference uuid NOT NULL,
    born_on date,
    local_time timestamp,
    registered_at timestamptz NOT NULL,
    preferences jsonb
);

-- No foreign keys: operations of several writers may come in any order.
CREATE TABLE orders (
    id bigint PRIMARY KEY,
    customer_id bigint NOT NULL,
    amount numeric(12, 2) NOT NULL,
    ordered_at timestamptz NOT NULL,
    status text NOT NULL,
    signature bytea
);

CREATE TABLE order_items (
    order_id bigint,
    line_no integer,
    quantity smallint NOT NULL,
    unit_price numeric(10, 4) NOT NULL,
    discount numeric(5, 4),
    note text,
    PRIMARY KEY (order_id, line_no)
);
