-- Which of these people are away.
-- KEYS: generation, seen. ARGV: run, then the people.
-- Returns false when there is no line here (then nobody is held to be away), else 1 for away and 0 for present.
if not generation_of(KEYS[1], ARGV[1]) then return false end
local now = milliseconds()
-- Nobody's own entry: until when everybody is present, because the line was built anew.
local all_until = tonumber(redis.call('ZSCORE', KEYS[2], '') or '0')
local answer = {}
for i = 2, #ARGV do
  local present_until = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[i]) or '0')
  answer[i - 1] = math.max(present_until, all_until) >= now and 0 or 1
end
return answer
