-- Where people stand, and that they have been seen.
-- KEYS: generation, waiting, seen, seq, sum. ARGV: run, presence in ms (0: not seen), then the people.
-- Returns false when there is no line here, else {generation, seq, waiting, sum, position or 0...}.
local generation = generation_of(KEYS[1], ARGV[1])
if not generation then return false end
local answer = {
  tonumber(generation), tonumber(redis.call('GET', KEYS[4]) or '0'), redis.call('ZCARD', KEYS[2]),
  tonumber(redis.call('GET', KEYS[5]) or '0')
}
local presence = tonumber(ARGV[2])
local present_until = milliseconds() + presence
for i = 3, #ARGV do
  local rank = redis.call('ZRANK', KEYS[2], ARGV[i])
  answer[#answer + 1] = rank and rank + 1 or 0
  if rank and presence > 0 then redis.call('ZADD', KEYS[3], 'GT', present_until, ARGV[i]) end
end
return answer
