-- What guards seats, money and draws in the database itself is there and on, and so is what notes the times that checks go by.
SELECT format('trigger %s on %s is missing or off', name, guarded) AS fault
FROM (VALUES
    ('wallet_entry', 'wallet_entry_append_only'), ('waiting_room', 'waiting_room_draw_stands'),
    ('waiting_room', 'waiting_room_max_active_lowered'), ('waiting_room', 'waiting_room_slowed'),
    ('schedule', 'schedule_closed'), ('schedule', 'schedule_shortened'), ('queue_token', 'queue_token_absence')
) AS guard (guarded, name)
WHERE NOT EXISTS (SELECT 1 FROM pg_trigger
                  WHERE tgrelid = guarded::regclass AND tgname = name AND tgenabled IN ('O', 'A'))
UNION ALL
SELECT format('constraint %s is missing or not validated', name)
FROM (VALUES
    ('seat_status_agrees'), ('seat_reservation_fkey'), ('seat_version_positive'), ('seat_price_range'),
    ('reservation_status_agrees'), ('reservation_price_range'), ('reservation_seat_pkey'),
    ('reservation_seat_price_range'), ('wallet_balance_range'), ('wallet_entry_balance_range'),
    ('wallet_entry_kind_agrees'), ('wallet_entry_payment_fkey'), ('payment_status_agrees'),
    ('payment_amount_range'), ('payment_reservation_fkey'), ('payment_purpose_agrees'), ('payment_pending_agrees'),
    ('payment_refund_agrees'), ('schedule_status_known'), ('schedule_cancelled_agrees'), ('queue_token_status_agrees'),
    ('queue_token_ended_because_known'), ('queue_token_ended_because_agrees'),
    -- A reservation has its person and its performance by its token.
    ('reservation_queue_token_fkey'), ('queue_token_person_fkey'), ('queue_token_schedule_fkey')
) AS guard (name)
WHERE NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conname = name AND convalidated AND connamespace = current_schema()::regnamespace)
UNION ALL
SELECT format('unique index %s is missing or not valid', name)
FROM (VALUES
    ('seat_place_unique'), ('payment_key_unique'), ('payment_live_unique'), ('wallet_entry_purpose_unique'),
    ('queue_token_live_unique'), ('queue_token_number_unique')
) AS guard (name)
WHERE NOT EXISTS (SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                  WHERE c.relname = name AND i.indisunique AND i.indisvalid
                    AND c.relnamespace = current_schema()::regnamespace)
