-- Takes people out of the line, gives the change its number, and tells every instance.
-- KEYS: generation, waiting, seen, seq. ARGV: channel, event as JSON, then person and number for each who left.
-- Returns 0 when there is no line here.
local generation = redis.call('GET', KEYS[1])
if not generation then return 0 end
local gone = {}
for i = 3, #ARGV, 2 do
  if redis.call('ZREM', KEYS[2], ARGV[i]) == 1 then gone[#gone + 1] = ARGV[i + 1] end
  redis.call('ZREM', KEYS[3], ARGV[i])
end
local seq = redis.call('INCR', KEYS[4])
redis.call('PUBLISH', ARGV[1], '{"generation":' .. generation .. ',"seq":' .. seq
  .. ',"waiting":' .. redis.call('ZCARD', KEYS[2])
  .. ',"gone":[' .. table.concat(gone, ',') .. '],"event":' .. ARGV[2] .. '}')
return 1
