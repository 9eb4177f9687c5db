# Has a naru print its pages of the manual and its completion into a folder; part of the installation.
#   naru the program; printed the folder, made anew
file(REMOVE_RECURSE ${printed})

# naru_print(FILE words...): standard output of the program with these words.
function(naru_print file)
  get_filename_component(folder ${printed}/${file} DIRECTORY)
  file(MAKE_DIRECTORY ${folder})
  execute_process(COMMAND ${naru} ${ARGN} OUTPUT_FILE ${printed}/${file} RESULT_VARIABLE status ERROR_VARIABLE message)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "printing ${file}: naru ${ARGN} ended with ${status}: ${message}")
  endif()
endfunction()

naru_print(bash/naru completion bash)
naru_print(zsh/_naru completion zsh)
naru_print(fish/naru.fish completion fish)
naru_print(man1/naru.1 man)
file(STRINGS ${printed}/man1/naru.1 pages REGEX "^\\.BR naru")
foreach(page ${pages})
  string(REGEX REPLACE "^\\.BR naru\\\\-([a-z]+) .*" "\\1" command "${page}")
  naru_print(man1/naru-${command}.1 man ${command})
endforeach()
