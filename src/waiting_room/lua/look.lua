-- Where people stand, and that they have been seen.
-- KEYS: generation, waiting, seen, seq. ARGV: presence in ms (0: not seen), then the people.
-- Returns false when there is no line here, else {generation, seq, waiting, position or 0...}.
local generation = redis.call('GET', KEYS[1])
if not generation then return false end
local answer = {tonumber(generation), tonumber(redis.call('GET', KEYS[4]) or '0'), redis.call('ZCARD', KEYS[2])}
local presence = tonumber(ARGV[1])
local time = redis.call('TIME')
local present_until = time[1] * 1000 + math.floor(time[2] / 1000) + presence
for i = 2, #ARGV do
  local rank = redis.call('ZRANK', KEYS[2], ARGV[i])
  answer[#answer + 1] = rank and rank + 1 or 0
  if rank and presence > 0 then redis.call('ZADD', KEYS[3], 'GT', present_until, ARGV[i]) end
end
return answer
