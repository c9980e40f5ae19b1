-- Lets the line of a room go whose sale is over: its keys end by themselves. Those that end already are left alone.
-- KEYS: all of the room. ARGV: run, seconds.
for _, key in ipairs(KEYS) do
  if redis.call('TTL', key) == -1 then redis.call('EXPIRE', key, ARGV[2]) end
end
return 1
